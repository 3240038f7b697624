"""The Prefect flow of one concept: prepare, the method's training stages, evaluate, gallery, register."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

from httpx import HTTPError
from prefect import Task, flow

from flows.output.errors import error_lines
from flows.output.progress import Both, PageReporter
from flows.server.gpu_slot import gpu_slot
from flows.server.lost_runs import sign_run
from flows.training.outcome import ConceptOutcome, Fault, TaskOutcome
from flows.training.worker_protocol import label_run, refuse_another_plan
from model.errors import SetupError, WorldFailed
from tasks.execution.caching import Bench
from tasks.execution.preflight import check_jobs
from tasks.execution.reporting import Reporter, Silence
from tasks.jobs.jobs import Job, plan_jobs
from tasks.jobs.keys import StagePlan
from tasks.plan.failures import forget_failures
from tasks.plan.last_training import last_training_of, write_last_training
from tasks.project.settings import load_settings
from tasks.registry.registration import RegisteredVersion
from tasks.stages.class_images import draw_class_images
from tasks.stages.evaluate import evaluate
from tasks.stages.gallery import draw_gallery
from tasks.stages.maps import draw_maps
from tasks.stages.prepare import prepare
from tasks.stages.register import register_once
from tasks.stages.train import train
from tasks.store.artefacts import CONTACT_SHEET, PAGE, SCORES
from tasks.store.store import Damaged

_TASKS: dict[str, Task[..., Any]] = {
    "prepare": prepare,
    "class_images": draw_class_images,
    "train": train,
    "evaluate": evaluate,
    "gallery": draw_gallery,
    "maps": draw_maps,
}
T = TypeVar("T")


class Errand:
    """One concept's job as it is handed to the flow, and what has become of it so far."""

    def __init__(self, job: Job, reporter: Reporter, *, checked: bool, verify: bool = False) -> None:
        self.job = job
        self.reporter = reporter
        self.checked = checked
        """Whether images and words have been looked at; else the flow does, so that they fail as its own."""
        self.verify = verify
        """Whether every byte of its artefacts is read, wherever they lie."""
        self.outcome = ConceptOutcome(concept=job.concept.name, base=job.recipe.base.reference)

    def failed(self, error: Exception) -> ConceptOutcome:
        """The outcome where this exception ended it. Call it where that is handled."""
        said = error_lines(error, self.job.settings, self.job.concept.name)
        return dataclasses.replace(self.outcome, error="\n".join(said), fault=self.outcome.fault or "world")


_ERRAND: ContextVar[Errand | None] = ContextVar("errand", default=None)


@contextlib.contextmanager
def handed_over(errand: Errand) -> Iterator[None]:
    """A flow that runs inside does this errand, and plans nothing itself."""
    token = _ERRAND.set(errand)
    try:
        yield
    finally:
        _ERRAND.reset(token)


@flow(name="train-concept", flow_run_name="{name}", persist_result=False)
def train_concept(
    name: str,
    root: Path | None = None,
    expected_key: str | None = None,
    expected_commit: str | None = None,
    verify: bool = False,
) -> ConceptOutcome:
    """Train, evaluate and register a concept of the project at `root`, doing only what is not in the store.

    Who asks a worker for it says which key its own project gives the last stage, at which commit. On a worker the flow
    holds the slot of its GPU. With `verify` every byte of what is in the store is read, and what is damaged made again.

    Raises:
        InputError: something is wrong with the concept or the parameters, all of it together; another key is expected.
        WorkFailed: a stage failed; what was finished is in the store.
    """
    sign_run()
    if errand := _ERRAND.get():
        return _carry_out(errand)
    errand = _planned(name, root, verify)
    if expected_key:
        refuse_another_plan(errand.job, expected_key, expected_commit)
    try:
        with gpu_slot():
            _carry_out(errand)
    except Exception as error:
        label_run(errand.failed(error))
        raise
    label_run(errand.outcome)
    return errand.outcome


def _carry_out(errand: Errand) -> ConceptOutcome:
    started = time.monotonic()
    line = Line(errand)
    line.make()
    line.show()
    version = line.register()
    line.remember(version)
    return line.note(
        model_name=version.name,
        version=version.version,
        version_created=version.created,
        seconds=time.monotonic() - started,
    )


def _planned(name: str, root: Path | None, verify: bool) -> Errand:
    settings = load_settings(root)
    (job,) = plan_jobs(settings, [name])
    return Errand(job, Silence(), checked=False, verify=verify)


class Line:
    """The tasks of one flow run, and what became of each."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.bench = Bench(errand.job, Both(errand.reporter, PageReporter(errand.reporter.warn)))
        if errand.verify:
            self.bench.doubtful |= {plan.stage for plan in errand.job.stages}
        self.outcomes: dict[str, TaskOutcome] = {}

    def note(self, **facts: Any) -> ConceptOutcome:
        """Put into the outcome what is known by now, so that a later failure does not take it away."""
        self.errand.outcome = dataclasses.replace(self.errand.outcome, **facts)
        return self.errand.outcome

    def make(self) -> None:
        """Check the concept and obtain the artefacts of all its stages. What fails here may be the concept's fault."""
        job = self.errand.job
        if not self.errand.checked:
            self.bench.store.probe()
        try:
            if not self.errand.checked:
                check_jobs(job.settings, [job])
            for plan in job.stages:
                self.obtain(plan)
        except Exception as error:
            self.note(fault=_fault(error))
            raise

    def obtain(self, plan: StagePlan) -> None:
        """Have a stage's artefact in the store and its manifest on the bench."""
        started = time.monotonic()

        def run_and_use() -> bool:
            made = self._run(plan)
            self.bench.manifests[plan.stage] = self.bench.store.use(plan.stage, plan.key)
            self.bench.doubtful.discard(plan.stage)
            return made

        self._note(plan.stage, made=self._mending(run_and_use), started=started)

    def show(self) -> None:
        """Copy the gallery to where people look, and read the scores."""
        bench = self.bench
        gallery = bench.job.settings.gallery_dir / bench.job.concept.name
        self._mending(lambda: bench.store.materialise(bench.manifests["gallery"], gallery))
        scores = self._mending(lambda: bench.store.file(bench.manifests["evaluate"], SCORES).read_text("utf-8"))
        self.note(scores=json.loads(scores), gallery_png=gallery / CONTACT_SHEET, gallery_html=gallery / PAGE)

    def register(self) -> RegisteredVersion:
        """Have the training registered."""
        started = time.monotonic()
        version, remembered = self._mending(lambda: register_once(self.bench))
        made = not remembered and version.made
        self._note("register", made=made, started=started)
        return version

    def remember(self, version: RegisteredVersion) -> None:
        """Write down what was done, for `conceptbooth plan`; whatever failed in the nights before is over."""
        bench, scores = self.bench, self.errand.outcome.scores
        assert scores is not None  # `show` has read them
        trained = last_training_of(bench.job, bench.manifests, version.version, scores)
        write_last_training(bench.store, bench.job.settings, trained)
        forget_failures(bench.store, bench.job.settings, bench.job.concept.name)

    def _run(self, plan: StagePlan) -> bool:
        """Run the stage's task; says whether the artefact was made now. What Prefect remembers must be in the store."""
        bench, task = self.bench, cast(Any, _TASKS[plan.kind])
        state = task.with_options(refresh_cache=plan.stage in bench.doubtful)(plan, bench, return_state=True)
        receipt = state.result()
        if state.name != "Cached":
            return bool(receipt["made"])
        with contextlib.suppress(Damaged):  # the task finds that too, and says so
            if bench.store.find(plan.stage, plan.key):
                return False
            address = bench.store.manifest_address(plan.stage, plan.key)
            bench.warn(f"Prefect remembers it, the store does not have it, so it is made again: {address}")
        return bool(task.with_options(refresh_cache=True)(plan, bench)["made"])

    def _mending(self, action: Callable[[], T]) -> T:
        """Do something that reads artefacts; one that turns out to be damaged is made again first."""
        mended: set[str] = set()
        while True:
            try:
                return action()
            except Damaged as damage:
                if damage.stage in mended:
                    raise
                mended.add(damage.stage)
                self.bench.doubtful.add(damage.stage)
                self.obtain(next(plan for plan in self.bench.job.stages if plan.stage == damage.stage))

    def _note(self, name: str, *, made: bool, started: float) -> None:
        seconds = time.monotonic() - started
        if made:
            self.bench.reporter.tell(f"{self.bench.job.concept.name} {name}: made in {seconds:.1f} s")
        self.outcomes[name] = TaskOutcome(name=name, state="made" if made else "cached", seconds=seconds)
        self.note(tasks=tuple(self.outcomes.values()))


def _fault(error: Exception) -> Fault:
    """Whose fault it is that a check or a stage failed: the world's where store, machine, network or Prefect did."""
    from torch import AcceleratorError

    of_the_system = isinstance(error, OSError) and error.errno is not None  # Pillow's own have no number
    of_others = isinstance(error, SetupError | WorldFailed | HTTPError | AcceleratorError)
    return "world" if of_the_system or of_others else "concept"

"""The Prefect flow of one concept: prepare, the method's training stages, evaluate, gallery, register."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from prefect import Task, flow

from flows.outcome import ConceptOutcome, TaskOutcome
from flows.progress import Both, PageReporter
from tasks.artefacts import CONTACT_SHEET, PAGE, SCORES
from tasks.caching import Bench
from tasks.draw_gallery import draw_gallery
from tasks.evaluate import evaluate
from tasks.jobs import plan_jobs
from tasks.keys import StagePlan
from tasks.prepare import prepare
from tasks.register import register_once
from tasks.registration import RegisteredVersion
from tasks.reporting import Reporter, Silence
from tasks.settings import load_settings
from tasks.store import Damaged
from tasks.train_stage import train

_TASKS: dict[str, Task[..., Any]] = {"prepare": prepare, "train": train, "evaluate": evaluate, "gallery": draw_gallery}
T = TypeVar("T")
_LISTENER: ContextVar[Reporter] = ContextVar("listener")


@contextlib.contextmanager
def listening(reporter: Reporter) -> Iterator[None]:
    """Flows that run inside also tell this reporter."""
    token = _LISTENER.set(reporter)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@flow(name="train-concept", flow_run_name="{name}", persist_result=False)
def train_concept(name: str, root: Path | None = None) -> ConceptOutcome:
    """Train, evaluate and register a concept of the project at `root`, doing only what is not in the store.

    Raises:
        InputError: something is wrong with the concept or the parameters; all of it together.
        WorkFailed: a stage failed; what was finished is in the store.
    """
    settings = load_settings(root)
    (job,) = plan_jobs(settings, [name])
    bench = Bench(job, Both(_LISTENER.get(Silence()), PageReporter()))
    started = time.monotonic()
    tasks = [_obtain(bench, plan) for plan in job.stages]
    registered, version = _register(bench)
    gallery = settings.gallery_dir / name
    bench.store.materialise(bench.manifests["gallery"], gallery)
    evaluation = bench.manifests["evaluate"]
    return ConceptOutcome(
        concept=name,
        base=job.recipe.base.reference,
        tasks=(*tasks, registered),
        seconds=time.monotonic() - started,
        scores=json.loads(bench.store.file(evaluation, SCORES).read_text(encoding="utf-8")),
        model_name=version.name,
        version=version.version,
        version_created=version.created,
        gallery_png=gallery / CONTACT_SHEET,
        gallery_html=gallery / PAGE,
    )


def _obtain(bench: Bench, plan: StagePlan, *, anew: bool = False) -> TaskOutcome:
    """Have a stage's artefact in the store, its manifest on the bench; `anew` asks the store, not Prefect's cache."""
    started = time.monotonic()
    made = _mending(bench, lambda: _run(bench, plan, anew=anew))
    bench.manifests[plan.stage] = bench.store.get(plan.stage, plan.key)
    return _told(bench, plan.stage, made=made, started=started)


def _run(bench: Bench, plan: StagePlan, *, anew: bool) -> bool:
    """Run the stage's task; says whether the artefact was made now. What Prefect remembers must be in the store."""
    task: Any = _TASKS[plan.kind]
    state = task.with_options(refresh_cache=anew)(plan, bench, return_state=True)
    receipt = state.result()
    if state.name != "Cached":
        return bool(receipt["made"])
    with contextlib.suppress(Damaged):  # the task finds that too, and says so
        if bench.store.find(plan.stage, plan.key):
            return False
        bench.warn(f"gone from the store, so it is made again: {bench.store.manifest_path(plan.stage, plan.key)}")
    return bool(task.with_options(refresh_cache=True)(plan, bench)["made"])


def _register(bench: Bench) -> tuple[TaskOutcome, RegisteredVersion]:
    started = time.monotonic()
    version, remembered = _mending(bench, lambda: register_once(bench))
    made = not remembered and (version.created or version.repaired is not None)
    return _told(bench, "register", made=made, started=started), version


def _mending(bench: Bench, action: Callable[[], T]) -> T:
    """Do something that reads artefacts; one that turns out to be damaged is made again first."""
    mended: set[str] = set()
    while True:
        try:
            return action()
        except Damaged as damage:
            if damage.stage in mended:
                raise
            mended.add(damage.stage)
            _obtain(bench, next(plan for plan in bench.job.stages if plan.stage == damage.stage), anew=True)


def _told(bench: Bench, name: str, *, made: bool, started: float) -> TaskOutcome:
    seconds = time.monotonic() - started
    if made:
        bench.reporter.tell(f"{bench.job.concept.name} {name}: made in {seconds:.1f} s")
    return TaskOutcome(name=name, state="made" if made else "cached", seconds=seconds)

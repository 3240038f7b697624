"""The Prefect task runs of one job inside a flow run: each takes what those before it returned.

Prefect's graph of the flow run is made of just these arguments, whether a stage was made, or its task was cached.
"""

import contextlib
import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from PIL import Image
from prefect import Task
from prefect.utilities.annotations import opaque, quote

from flows.output.progress import Both, PageReporter
from flows.training.outcome import TaskOutcome
from tasks.execution.journal import Journal
from tasks.execution.kept_models import keep_models
from tasks.execution.reporting import Reporter
from tasks.execution.stage_context import Receipt, StageContext
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import KINDS
from tasks.registry.registration import RegisteredVersion
from tasks.stages.base_pictures import embed_base_pictures
from tasks.stages.look_alikes import embed_look_alikes
from tasks.stages.register import register_once
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged

if TYPE_CHECKING:
    from prefect.states import State
    from torch import Tensor

T = TypeVar("T")


def task_of(kind: str) -> Task[..., Receipt]:
    """The Prefect task that makes stages of this kind."""
    return cast(Task[..., Receipt], getattr(importlib.import_module(KINDS[kind].module), kind))


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A stage that is done."""

    state: "State[Receipt]"
    """Of its task run: it holds what the task returned."""
    manifest: Manifest


class StageRuns:
    """Runs the tasks of one job; what damage they meet in the store is made again first."""

    def __init__(
        self,
        job: Job,
        reporter: Reporter,
        *,
        verify: bool = False,
        on_task: Callable[[TaskOutcome], None] = lambda done: None,
        journal: Journal | None = None,
    ) -> None:
        self.context = StageContext(job, Both(reporter, PageReporter(reporter.warn)), journal)
        self._on_task = on_task
        self._done: dict[str, _Done] = {}
        """By stage."""
        self._doubtful = {plan.stage for plan in job.stages} if verify else set[str]()
        """Stages whose artefacts are read by every byte before they count as whole, also where that costs transfers."""
        self._verify = verify
        self._kept = set[str]()
        """Kinds of pretrained models that the store was seen to have."""

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """Of the stages that are done, by name."""
        return {stage: done.manifest for stage, done in self._done.items()}

    def obtain(self, plan: StagePlan) -> None:
        """Have a stage's artefact in the store. The stages that it reads must be done."""
        started = time.monotonic()
        made = self.mending(lambda: self._obtain(plan))
        self._tell(plan.stage, made=made, started=started)

    def register(self) -> RegisteredVersion:
        """Have the training registered; all stages must be done."""
        started = time.monotonic()
        version, remembered = self.mending(lambda: register_once(self.context, self._returned(self._done)))
        self._tell("register", made=not remembered and version.made, started=started)
        return version

    def embed(self, pictures: Sequence[Image.Image]) -> "Tensor | None":
        """Embeddings (pictures, width) of look-alikes by the model that ranks the job's pictures; None for none."""
        return embed_look_alikes(self.context, quote(pictures))

    def embed_base(self) -> "Mapping[str, Tensor]":
        """Embeddings of what the untrained base drew in the job's evaluation, which must be done."""
        done = self._done["evaluate"]
        return self.mending(lambda: embed_base_pictures(self.context, quote(done.manifest), done.state))

    def mending(self, action: Callable[[], T]) -> T:
        """Do something that reads artefacts; one that turns out to be damaged is made again first."""
        mended: set[str] = set()
        while True:
            try:
                return action()
            except Damaged as damage:
                if damage.stage in mended:
                    raise
                mended.add(damage.stage)
                self._doubtful.add(damage.stage)
                self.obtain(next(plan for plan in self.context.job.stages if plan.stage == damage.stage))

    def _keep_models(self, plan: StagePlan) -> None:
        """Have the store hold what the stage reads of pretrained models, before anything stands on it."""
        kinds, context = plan.models.keys() - self._kept, self.context
        keep_models(context.store, context.job, sorted(kinds), thorough=self._verify, tell=context.reporter.tell)
        self._kept |= kinds

    def _obtain(self, plan: StagePlan) -> bool:
        self._keep_models(plan)
        state, made = self._run(plan)
        self._done[plan.stage] = _Done(state=state, manifest=self.context.store.use(plan.stage, plan.key))
        self._doubtful.discard(plan.stage)
        return made

    def _run(self, plan: StagePlan) -> "tuple[State[Receipt], bool]":
        """Run the stage's task; says whether the artefact was made now. What Prefect remembers must be in the store."""
        context, doubtful = self.context, plan.stage in self._doubtful
        state = self._call(plan, refresh=doubtful)
        receipt = state.result()
        if state.name != "Cached":
            return state, receipt["made"]
        with contextlib.suppress(Damaged):  # the task finds that too, and says so
            if context.store.find(plan.stage, plan.key):
                return state, False
            address = context.store.manifest_address(plan.stage, plan.key)
            context.warn(f"Prefect remembers it, the store does not have it, so it is made again: {address}")
        state = self._call(plan, refresh=True)
        return state, state.result()["made"]

    def _call(self, plan: StagePlan, *, refresh: bool) -> "State[Receipt]":
        task: Any = task_of(plan.kind).with_options(refresh_cache=refresh)
        inputs = self._returned(stage for stage in plan.reads if stage in self._done)
        thorough = plan.stage in self._doubtful
        # quote: else Prefect looks for edges in each text of the plan, and finds some by chance.
        return cast("State[Receipt]", task(quote(plan), self.context, inputs, thorough=thorough, return_state=True))

    def _returned(self, stages: Iterable[str]) -> list[Any]:
        """States of these stages' tasks: Prefect draws an edge for each, and hands on what the task returned."""
        return [opaque(self._done[stage].state) for stage in stages]

    def _tell(self, name: str, *, made: bool, started: float) -> None:
        seconds = time.monotonic() - started
        if made:
            self.context.reporter.tell(f"{self.context.job.concept.name} {name}: made in {seconds:.1f} s")
        self._on_task(TaskOutcome(name=name, state="made" if made else "cached", seconds=seconds))

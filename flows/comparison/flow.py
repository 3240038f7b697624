"""The Prefect flow of a comparison: the evaluation of every concept by every method, doing only what is missing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow

from flows.server.gpu_slot import gpu_slot
from flows.server.hand_over import handed_over, prepared
from flows.training.stage_runs import StageRuns
from tasks.comparison.choice import ComparedTraining
from tasks.comparison.look_alikes import find_look_alikes
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class PreparedComparison:
    """What the flow is to do, and what it has found."""

    jobs: Mapping[ComparedTraining, Job]
    store: Store
    reporter: Reporter
    look_alikes: Path | None = None
    """A folder of them, beside the project's other concepts."""
    ranked: bool = True
    """Whether pictures will be scored against look-alikes and the base, so that those are embedded."""
    found: dict[ComparedTraining, Mapping[str, Manifest]] = field(default_factory=dict)
    """What each job left, by stage."""
    base: "dict[str, Mapping[str, Tensor]]" = field(default_factory=dict)
    """Embeddings of what the untrained base drew for each concept (`tasks.stages.base_pictures`)."""
    embedded: "dict[str, Tensor | None]" = field(default_factory=dict)
    """Embeddings (pictures, width) of the look-alikes of each concept; None where it has none."""


def carry_out(comparison: PreparedComparison) -> None:
    """Have all of it done, in a flow run at the API that is in use; it then holds what was found.

    Raises:
        InputError: a look-alike cannot be read.
        WorkFailed: a stage failed; what was finished is in the store.
    """
    names = list(dict.fromkeys(training.concept for training in comparison.jobs))
    with handed_over(comparison):
        compare(names, list(dict.fromkeys(training.method for training in comparison.jobs)))


@flow(name="compare", persist_result=False)
def compare(names: list[str], methods: list[str]) -> None:
    """Have everything that the jobs make in the store; the parameters are what a page shows."""
    work = prepared(PreparedComparison)
    assert work is not None  # `carry_out` alone calls this
    missing = {training for training, job in work.jobs.items() if not _is_there(work.store, job)}
    started, made = time.monotonic(), 0
    with gpu_slot():
        for number, (training, job) in enumerate(work.jobs.items(), 1):
            stages = StageRuns(job, work.reporter)
            for plan in job.stages:
                stages.obtain(plan)
            work.found[training] = stages.manifests
            if work.ranked and training.concept not in work.base:
                work.base[training.concept] = stages.embed_base()
            if training in missing:
                made += 1
                missing.remove(training)
                left = (time.monotonic() - started) / made * len(missing)
                said = f"{training.concept} by {training.method}, seed {training.seed}"
                said = f"{said}: {number} of {len(work.jobs)} trainings"
                work.reporter.tell(f"{said}, about {_words(left)} left" if missing else said)
        if work.ranked:
            _embed_look_alikes(work)


def _embed_look_alikes(work: PreparedComparison) -> None:
    """Of each concept once: all its jobs draw the same prompts and are measured by the same models."""
    for training, job in work.jobs.items():
        if training.concept not in work.embedded:
            pictures = find_look_alikes(job.settings, job.concept, work.look_alikes)
            work.embedded[training.concept] = StageRuns(job, work.reporter).embed(pictures)


def _is_there(store: Store, job: Job) -> bool:
    """Whether all that the comparison itself reads is in the store."""
    try:
        return all(store.find(plan.stage, plan.key) for plan in job.stages if plan.kind in ("evaluate", "maps"))
    except Damaged:
        return False


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"

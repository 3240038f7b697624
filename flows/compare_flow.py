"""The Prefect flow of a comparison: the evaluation of every concept by every method, doing only what is missing."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from prefect import flow

from flows.gpu_slot import gpu_slot
from flows.train_concept import Errand, Line
from tasks.jobs import Job
from tasks.manifest import Manifest
from tasks.reporting import Reporter


@dataclass(kw_only=True)
class _Round:
    """What the flow works on, and what it has found."""

    jobs: Mapping[tuple[str, str], Job]
    reporter: Reporter
    evaluations: dict[tuple[str, str], Manifest] = field(default_factory=dict)


_ROUND: ContextVar[_Round] = ContextVar("round")


def evaluate_all(jobs: Mapping[tuple[str, str], Job], reporter: Reporter) -> dict[tuple[str, str], Manifest]:
    """The evaluations of jobs by concept and label, in a flow run at the API that is in use.

    Raises:
        WorkFailed: a stage failed; what was finished is in the store.
    """
    work = _Round(jobs=jobs, reporter=reporter)
    token = _ROUND.set(work)
    try:
        compare(list(dict.fromkeys(name for name, _ in jobs)), list(dict.fromkeys(label for _, label in jobs)))
    finally:
        _ROUND.reset(token)
    return work.evaluations


@flow(name="compare", persist_result=False)
def compare(names: list[str], methods: list[str]) -> None:
    """Have the evaluation of every concept by every method in the store; the parameters are what a page shows."""
    work = _ROUND.get()
    with gpu_slot():
        for cell, job in work.jobs.items():
            line = Line(Errand(job, work.reporter, checked=True))
            for plan in job.stages:
                line.obtain(plan)
            work.evaluations[cell] = line.bench.manifests["evaluate"]

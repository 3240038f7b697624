"""The Prefect flow of a comparison: the evaluation of every concept by every method, doing only what is missing."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from prefect import flow

from flows.server.gpu_slot import gpu_slot
from flows.training.train_concept import Errand, Line
from tasks.comparison.choice import Place
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store


@dataclass(kw_only=True)
class _Round:
    """What the flow works on, and what it has found."""

    jobs: Mapping[Place, Job]
    store: Store
    reporter: Reporter
    found: dict[Place, Mapping[str, Manifest]] = field(default_factory=dict)


_ROUND: ContextVar[_Round] = ContextVar("round")


def carry_out_all(jobs: Mapping[Place, Job], store: Store, reporter: Reporter) -> dict[Place, Mapping[str, Manifest]]:
    """What the jobs leave, by their places and then by stage, in a flow run at the API that is in use.

    Raises:
        WorkFailed: a stage failed; what was finished is in the store.
    """
    work = _Round(jobs=jobs, store=store, reporter=reporter)
    token = _ROUND.set(work)
    try:
        compare(list(dict.fromkeys(place.concept for place in jobs)), list(dict.fromkeys(p.method for p in jobs)))
    finally:
        _ROUND.reset(token)
    return work.found


@flow(name="compare", persist_result=False)
def compare(names: list[str], methods: list[str]) -> None:
    """Have everything that the jobs make in the store; the parameters are what a page shows."""
    work = _ROUND.get()
    missing = {place for place, job in work.jobs.items() if not _is_there(work.store, job)}
    started, made = time.monotonic(), 0
    with gpu_slot():
        for number, (place, job) in enumerate(work.jobs.items(), 1):
            line = Line(Errand(job, work.reporter, checked=True))
            for plan in job.stages:
                line.obtain(plan)
            work.found[place] = dict(line.bench.manifests)
            if place in missing:
                made += 1
                missing.remove(place)
                left = (time.monotonic() - started) / made * len(missing)
                said = f"{place.concept} by {place.method}, seed {place.seed}: {number} of {len(work.jobs)} trainings"
                work.reporter.tell(f"{said}, about {_words(left)} left" if missing else said)


def _is_there(store: Store, job: Job) -> bool:
    """Whether all that the comparison itself reads is in the store."""
    try:
        return all(store.find(plan.stage, plan.key) for plan in job.stages if plan.kind in ("evaluate", "maps"))
    except Damaged:
        return False


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"

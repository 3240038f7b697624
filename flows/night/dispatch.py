"""How a night has concepts trained: a dispatcher is a function, this process is one, deployments are another."""

import dataclasses
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from flows.output.errors import let_go
from flows.training.outcome import ConceptOutcome
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.plan.in_progress import noted
from tasks.project.settings import Settings


class Dispatch(Protocol):
    """A way to have concepts trained."""

    def __call__(
        self, jobs: Sequence[Job], seconds: float | None, verified: Collection[str] = ()
    ) -> Iterator[ConceptOutcome]:
        """Train these; one outcome each, as it ends, in any order. A failure is an outcome and stops no other.

        `seconds` may be None for no end: what has not begun by then is not begun, and has no outcome. `verified` names
        concepts of whose artefacts every byte is read.
        """


def dispatcher(settings: Settings, reporter: Reporter) -> Dispatch:
    """The one that the settings ask for."""
    if settings.dispatch == "workers":
        from flows.night.dispatch_workers import on_workers

        return on_workers(settings, reporter)
    return in_this_process(reporter)


def in_this_process(reporter: Reporter) -> Dispatch:
    """The embedded dispatcher: one concept after the other, each in a flow run of its own."""

    def dispatch(
        jobs: Sequence[Job], seconds: float | None, verified: Collection[str] = ()
    ) -> Iterator[ConceptOutcome]:
        started = time.monotonic()
        for job in jobs:
            if seconds is not None and time.monotonic() - started >= seconds:
                return
            with noted(job):
                outcome = train_here(job, reporter, checked=False, verify=job.concept.name in verified)
            yield outcome

    return dispatch


def train_here(job: Job, reporter: Reporter, *, checked: bool, verify: bool = False) -> ConceptOutcome:
    """Run one concept's flow. Never raises for it.

    `checked` says that its images and words have been looked at, `verify` that every byte of its artefacts is read.
    """
    from flows.training.train_concept import Errand, handed_over, train_concept

    errand, started = Errand(job, reporter, checked=checked, verify=verify), time.monotonic()
    try:
        with handed_over(errand):
            return train_concept(job.concept.name, job.settings.root)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this concept's outcome
        outcome = dataclasses.replace(errand.failed(error), seconds=time.monotonic() - started)
        let_go(error)  # else the next concept lacks the memory that this one had
        return outcome

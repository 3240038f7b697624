"""How a night has concepts trained: a dispatcher is a function, this process is one, deployments are another."""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from flows.training.outcome import ConceptOutcome
from flows.training.train_here import train_here
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.plan.in_progress import marked_in_progress


class Dispatch(Protocol):
    """A way to have concepts trained."""

    def __call__(
        self, jobs: Sequence[Job], seconds: float | None, verified: Collection[str] = ()
    ) -> Iterator[ConceptOutcome]:
        """Train these; one outcome each, as it ends, in any order. A failure is an outcome and stops no other.

        `seconds` may be None for no end: what has not begun by then is not begun, and has no outcome. `verified` names
        concepts of whose artefacts every byte is read.
        """


def in_this_process(reporter: Reporter) -> Dispatch:
    """The embedded dispatcher: one concept after the other, each in a flow run of its own."""

    def dispatch(
        jobs: Sequence[Job], seconds: float | None, verified: Collection[str] = ()
    ) -> Iterator[ConceptOutcome]:
        started = time.monotonic()
        for job in jobs:
            if seconds is not None and time.monotonic() - started >= seconds:
                return
            with marked_in_progress(job):
                outcome = train_here(job, reporter, checked=False, verify=job.concept.name in verified)
            yield outcome

    return dispatch

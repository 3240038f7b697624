"""What every stage of a job works with, and what it tells the stages after it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

from tasks.execution.journal import Journal, NoJournal
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.store.manifest import Manifest
from tasks.store.store import open_store


class Receipt(TypedDict):
    """What a stage's task returns, and Prefect keeps as JSON: which artefact it is. What is in it the store says."""

    stage: str
    key: str
    digest: str
    """Of the artefact's files."""
    made: bool
    """Whether it was made now; else it was there."""


class StageContext:
    """The job that a stage belongs to, its store, and who listens. No data: that comes from the stages before.

    No dataclass, so that Prefect hands it on untouched instead of looking inside.
    """

    def __init__(self, job: Job, reporter: Reporter, journal: Journal | None = None) -> None:
        self.job = job
        self.reporter = reporter
        self.journal: Journal = journal or NoJournal()
        self.store = open_store(job.settings)

    def warn(self, message: str) -> None:
        """Tell the person at the terminal, and the log of the run in Prefect."""
        self.reporter.warn(message)
        if FlowRunContext.get() or TaskRunContext.get():
            get_run_logger().warning("%s", message)

    @contextmanager
    def progress(self, plan: StagePlan, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """Inside, the stage works on `total` of what `unit` names; it tells what this yields how many are finished."""
        self.reporter.begin(f"{self.job.concept.name} {plan.stage}", total, unit)
        try:
            yield self.reporter.advance
        finally:
            self.reporter.end()

    def read(self, receipts: Sequence[Receipt]) -> dict[str, Manifest]:
        """The manifests of these artefacts, by stage. Raises Damaged where one is gone, StoreFailed."""
        return {receipt["stage"]: self.store.get(receipt["stage"], receipt["key"]) for receipt in receipts}


Metrics = Mapping[str, float | Sequence[float]]
"""Figures of the work that differ from run to run or are found in its files too; part of the manifest alone."""
Make = Callable[[StagePlan, StageContext, Mapping[str, Manifest], Path], Metrics]
"""Makes a stage's files in a folder, from the manifests of the stages that it reads."""

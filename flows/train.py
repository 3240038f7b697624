"""From images to a registered model: several concepts, one after the other, each in a flow run of its own."""

import dataclasses
import os
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from flows.console import notices
from flows.outcome import ConceptOutcome, TaskOutcome
from flows.prefect_api import PrefectApi, prefect_api
from flows.progress import TerminalReporter
from model.errors import InputError, WorkFailed
from tasks.checks import check_jobs
from tasks.jobs import Job, plan_jobs
from tasks.reporting import Reporter
from tasks.settings import Settings
from tasks.store import open_store
from tasks.tracking import import_mlflow

__all__ = ["ConceptOutcome", "TaskOutcome", "run_training"]

_DRAIN_SECONDS = 10  # for Prefect to hand over the last logs and states of a run before its API ends


def run_training(settings: Settings, names: Sequence[str], *, verbose: bool = False) -> list[ConceptOutcome]:
    """Train, evaluate and register concepts, doing only what is not in the store; one outcome each, in order.

    One concept's failure does not stop the others. `verbose` shows Prefect's own log on the terminal. Apply
    `tasks.settings.apply_environment` before.

    Raises:
        InputError: something is wrong with what was asked for, all of it together; no work was started.
        WorkFailed: Prefect's API does not start.
    """
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "NOTSET" if verbose else "CRITICAL"
    jobs = plan_jobs(settings, names)
    open_store(settings).probe()
    with prefect_api(settings) as api:  # it starts in the background while words and images are checked
        check_jobs(settings, jobs)
        return _run(settings, api, jobs)


def _run(settings: Settings, api: PrefectApi, jobs: Sequence[Job]) -> list[ConceptOutcome]:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    reporter = TerminalReporter(notices())
    import_mlflow(settings)  # while the API starts: the registration at the end needs it in any case
    api.wait_until_it_answers()
    # Prefect has read its settings when it was imported, before the address was known. Heartbeats are for flows that
    # a server has started and watches; ours would only make the end of each run wait a second for them.
    with temporary_settings({"api.url": api.url, "flows.heartbeat_frequency": None}):
        try:
            return [_outcome(job, reporter) for job in jobs]
        finally:
            APILogWorker.drain_all(timeout=_DRAIN_SECONDS)
            EventsWorker.drain_all(timeout=_DRAIN_SECONDS)


def _outcome(job: Job, reporter: Reporter) -> ConceptOutcome:
    """Run one concept's flow; a failure becomes part of the outcome, because the other concepts go on."""
    from flows.train_concept import Errand, handed_over, train_concept

    errand, started = Errand(job, reporter), time.monotonic()
    try:
        with handed_over(errand):
            return train_concept(job.concept.name, job.settings.root)
    except (InputError, WorkFailed) as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this concept's
        said = f"unexpected {type(error).__name__}: {error}; {_where_from(job)}"
    return dataclasses.replace(errand.outcome, seconds=time.monotonic() - started, error=said)


def _where_from(job: Job) -> str:
    """Write down where the present exception comes from; says where, or shows it where nothing can be written."""
    folder = job.settings.home / "logs"
    file = folder / f"{job.concept.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
    trace = traceback.format_exc()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(trace, encoding="utf-8")
    except OSError as error:
        return f"its details could not be kept in {file} ({error.strerror}):\n{trace}"
    return f"details in {file}"

"""From images to a registered model: several concepts, one after the other, each in a flow run of its own."""

import os
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flows.console import notices
from flows.outcome import ConceptOutcome, TaskOutcome
from flows.prefect_api import PrefectApi, prefect_api
from flows.progress import TerminalReporter
from model.errors import InputError, WorkFailed
from tasks.checks import check_job
from tasks.jobs import Job, plan_jobs
from tasks.settings import Settings
from tasks.store import Damaged, Store

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
    store = Store(settings.store)
    store.probe()
    with prefect_api(settings) as api:  # it starts in the background while words and images are checked
        _check(store, jobs)
        return _run(settings, api, jobs)


def _check(store: Store, jobs: Sequence[Job]) -> None:
    """Check images and words of the concepts that need a model; what is in the store has passed this before."""
    problems: list[str] = []
    for job in jobs:
        if all(_whole(store, plan.stage, plan.key) for plan in job.stages if plan.kind != "gallery"):
            continue
        try:
            check_job(job)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))


def _whole(store: Store, stage: str, key: str) -> bool:
    try:
        return store.find(stage, key) is not None
    except Damaged:
        return False


def _run(settings: Settings, api: PrefectApi, jobs: Sequence[Job]) -> list[ConceptOutcome]:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    from flows.train_concept import listening

    reporter = TerminalReporter(notices())
    api.wait_until_it_answers()
    # Prefect has read its settings when it was imported, before the address was known. Heartbeats are for flows that
    # a server has started and watches; ours would only make the end of each run wait a second for them.
    with temporary_settings({"api.url": api.url, "flows.heartbeat_frequency": None}), listening(reporter):
        try:
            return [_outcome(settings, job) for job in jobs]
        finally:
            APILogWorker.drain_all(timeout=_DRAIN_SECONDS)
            EventsWorker.drain_all(timeout=_DRAIN_SECONDS)


def _outcome(settings: Settings, job: Job) -> ConceptOutcome:
    """Run one concept's flow; a failure becomes part of the outcome, because the other concepts go on."""
    from flows.train_concept import train_concept

    name, started = job.concept.name, time.monotonic()
    try:
        return train_concept(name, settings.root)
    except (InputError, WorkFailed) as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this concept's
        said = f"unexpected {type(error).__name__}: {error}; details in {_kept_trace(settings, name)}"
    base = job.recipe.base.reference
    return ConceptOutcome(concept=name, base=base, seconds=time.monotonic() - started, error=said)


def _kept_trace(settings: Settings, name: str) -> Path:
    """Write down where the present exception comes from; returns the file."""
    folder = settings.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
    file.write_text(traceback.format_exc(), encoding="utf-8")
    return file

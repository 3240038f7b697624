"""The Prefect flow of one concept: prepare, the method's training stages, evaluate, gallery, register."""

import time
from pathlib import Path
from typing import Any

from httpx import HTTPError
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.server.gpu_slot import gpu_slot
from flows.server.hand_over import prepared
from flows.server.lost_runs import sign_run
from flows.server.plain_failures import failed, log_plainly
from flows.training.learnt import tell_what_was_learnt
from flows.training.outcome import ConceptOutcome, Fault
from flows.training.prepared_training import PreparedTraining
from flows.training.stage_runs import StageRuns
from flows.training.verdict import judge_of
from flows.training.worker_protocol import label_run, refuse_another_plan
from model.errors import InputError, SetupError, WorkFailed, WorldFailed
from tasks.concepts.samples import unmade_samples
from tasks.dvc.command import make_samples
from tasks.execution.preflight import check_jobs
from tasks.execution.reporting import Silence
from tasks.galleries.versions import show_versions
from tasks.jobs.jobs import plan_jobs
from tasks.plan.failures import forget_failures
from tasks.plan.last_training import last_training_of, write_last_training
from tasks.project.settings import load_settings
from tasks.registry.live_runs import LiveRuns
from tasks.registry.registration import RegisteredVersion
from tasks.store.artefacts import CONTACT_SHEET, PAGE
from tasks.store.scores import load_scores


@flow(name="train-concept", flow_run_name="{name}", persist_result=False)
def train_concept(
    name: str,
    root: Path | None = None,
    expected_key: str | None = None,
    expected_commit: str | None = None,
    verify: bool = False,
) -> ConceptOutcome | State[Any]:
    """Train, evaluate and register a concept of the project at `root`, doing only what is not in the store.

    Who asks a worker for it says which key its own project gives the last stage, at which commit. On a worker the flow
    holds the slot of its GPU. With `verify` every byte of what is in the store is read, and what is damaged made again.

    Raises:
        InputError: something is wrong with the concept or the parameters, all of it together; another key is expected.
        WorkFailed: a stage failed; what was finished is in the store.
    """
    log_plainly()
    sign_run()
    try:
        if training := prepared(PreparedTraining):
            return _carry_out(training)
        return _on_a_worker(_planned(name, root, verify), expected_key, expected_commit)
    except (InputError, WorkFailed) as error:
        return failed(error)


def _on_a_worker(training: PreparedTraining, expected_key: str | None, expected_commit: str | None) -> ConceptOutcome:
    if expected_key:
        refuse_another_plan(training.job, expected_key, expected_commit)
    try:
        with gpu_slot():
            _carry_out(training)
    except Exception as error:
        label_run(training.failed(error))
        raise
    label_run(training.outcome)
    return training.outcome


def _planned(name: str, root: Path | None, verify: bool) -> PreparedTraining:
    settings = load_settings(root)
    if unmade := unmade_samples(settings, [name]):  # a worker's checkout is as fresh as any
        make_samples(settings, unmade)
    (job,) = plan_jobs(settings, [name])
    return PreparedTraining(job, Silence(), checked=False, verify=verify)


def _carry_out(training: PreparedTraining) -> ConceptOutcome:
    started = time.monotonic()
    log = get_run_logger()

    def warn(said: str) -> None:  # from another thread, which knows of no flow run
        training.reporter.warn(said)
        log.warning("%s", said)

    journal = LiveRuns(training.job, warn)
    stages = StageRuns(
        training.job, training.reporter, verify=training.verify, on_task=training.note_task, journal=journal
    )
    try:
        _make(training, stages)
        _show(training, stages)
    except BaseException as error:
        journal.close(error)
        raise
    journal.close()
    version = stages.register()
    journal.settle(version.run_id)
    folder = stages.mending(
        lambda: show_versions(
            training.job.settings,
            stages.context.store,
            training.job.concept.name,
            version.version,
            judge_of(training.job.settings),
        )
    )
    training.note(gallery_png=folder / CONTACT_SHEET, gallery_html=folder / PAGE)
    _remember(training, stages, version)
    outcome = training.note(
        model_name=version.name,
        version=version.version,
        version_created=version.created,
        seconds=time.monotonic() - started,
    )
    tell_what_was_learnt(training.job.settings, training.job.concept, outcome, version.run_id)
    return outcome


def _make(training: PreparedTraining, stages: StageRuns) -> None:
    """Check the concept and obtain the artefacts of all its stages. What fails here may be the concept's fault."""
    job = training.job
    if not training.checked:
        stages.context.store.probe()
    try:
        if not training.checked:
            check_jobs(job.settings, [job])
        for plan in job.stages:
            stages.obtain(plan)
    except Exception as error:
        training.note(fault=_fault(error))
        raise


def _show(training: PreparedTraining, stages: StageRuns) -> None:
    """Copy the gallery to where people look, so that it is there whatever MLflow answers, and read the scores."""
    store, folder = stages.context.store, training.job.settings.gallery_dir / training.job.concept.name
    stages.mending(lambda: store.materialise(stages.manifests["gallery"], folder))
    scores = stages.mending(lambda: load_scores(store, stages.manifests["evaluate"]))
    training.note(scores=scores, gallery_png=folder / CONTACT_SHEET, gallery_html=folder / PAGE)


def _remember(training: PreparedTraining, stages: StageRuns, version: RegisteredVersion) -> None:
    """Write down what was done, for `conceptbooth plan`; whatever failed in the nights before is over."""
    job, store, scores = training.job, stages.context.store, training.outcome.scores
    assert scores is not None  # `_show` has read them
    write_last_training(store, job.settings, last_training_of(job, stages.manifests, version.version, scores))
    forget_failures(store, job.settings, job.concept.name)


def _fault(error: Exception) -> Fault:
    """Whose fault it is that a check or a stage failed: the world's where store, machine, network or Prefect did."""
    from torch import AcceleratorError

    of_the_system = isinstance(error, OSError) and error.errno is not None  # Pillow's own have no number
    of_others = isinstance(error, SetupError | WorldFailed | HTTPError | AcceleratorError)
    return "world" if of_the_system or of_others else "concept"

"""The night: everything that changed is trained, and nothing else; measured, summed up, and told.

One Prefect flow. It asks first whether store, MLflow and DVC's remote are there, so that an outage costs no training,
and it runs nothing for a concept that is up to date.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, tags
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.night.choice import NightChoice, NightOptions, choose
from flows.night.dispatch import Dispatch
from flows.night.dispatcher import dispatcher
from flows.night.foreign import foreign_to_base
from flows.night.records import record_night, show_on_pages
from flows.night.summary import NightConcept, NightSummary, summed_up
from flows.output.errors import error_lines
from flows.output.webhook import post_summary
from flows.server.hand_over import handed_over, prepared
from flows.server.lost_runs import sign_run
from flows.server.plain_failures import failed
from flows.training.outcome import ConceptOutcome
from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import concept_names
from tasks.concepts.samples import unmade_samples
from tasks.dvc.command import make_samples
from tasks.dvc.storage import UnreadRemote, dvc_storage
from tasks.execution.kept_models import keep_models
from tasks.execution.reporting import Reporter, Silence
from tasks.plan.failures import Failures, note_failure, note_passed_over
from tasks.plan.last_training import write_last_training
from tasks.plan.plan import Plan, make_plan
from tasks.project.settings import Settings, load_settings
from tasks.promotion.challengers import challengers, gate
from tasks.promotion.policy import Policy, Verdict, load_policy
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import CANDIDATE
from tasks.store.store import Store, open_store
from tasks.tracking.client import connect
from tasks.upkeep.reconciliation import reconcile

NIGHT_TAGS = ("conceptbooth", "night")
"""Those of prefect.yaml: a night by hand is found by the same."""


class Night:
    """One night's work, and what has come of it so far."""

    def __init__(self, settings: Settings, options: NightOptions, reporter: Reporter, dispatch: Dispatch) -> None:
        self.settings, self.options, self.reporter, self.dispatch = settings, options, reporter, dispatch
        self.store: Store = open_store(settings)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.outcomes: list[ConceptOutcome] = []
        self.failures: dict[str, Failures] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.troubles: list[str] = []
        self.warnings: list[str] = []
        self.plan: Plan | None = None
        self.choice: NightChoice | None = None
        self.summary: NightSummary | None = None
        self._clock = time.monotonic()


def carry_out(night: Night) -> NightSummary:
    """Run the flow for this night. However that ends, the night ends with its summary."""
    options = night.options
    try:
        with handed_over(night), tags(*NIGHT_TAGS):
            nightly(night.settings.root, list(options.force), options.retry, options.max_concepts, options.max_hours)
    except WorkFailed:  # the summary says what failed
        pass
    except Exception as error:  # noqa: BLE001 - Prefect could not begin the flow run, or could not end it
        said = "; ".join(error_lines(error, night.settings, "nightly"))
        if night.summary is None:
            night.troubles.append(said)
            return _tell(night)
        night.summary = replace(night.summary, warnings=(*night.summary.warnings, said))
    assert night.summary is not None  # the flow ends with it, or raises something else
    return night.summary


def _night_name() -> str:
    return f"night of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


@flow(name="nightly", flow_run_name=_night_name, persist_result=False)
def nightly(
    root: Path | None = None,
    force: list[str] | None = None,
    retry: bool = False,
    max_concepts: int | None = None,
    max_hours: float | None = None,
) -> dict[str, Any] | State[Any]:
    """Train what changed in the project at `root`, oldest first; returns the summary.

    `force` names concepts that are gone through in any case, by every byte; with `retry` those that failed in nights
    before wait no longer; `max_concepts` says how many there are at most, forced ones first, and after `max_hours` none
    is begun any more.

    Raises:
        WorkFailed: something failed; the summary is on Prefect's pages, in MLflow, and was sent to who wants to know.
    """
    options = NightOptions(force=tuple(force or ()), retry=retry, max_concepts=max_concepts, max_hours=max_hours)
    night = prepared(Night) or _night_on_a_worker(root, options)
    try:
        sign_run()
        _work(night)
    except Exception as error:  # noqa: BLE001 - whatever it is, the summary tells it, and somebody is told
        night.troubles += error_lines(error, night.settings, "nightly")
    summary = _tell(night)
    for warning in summary.warnings:
        get_run_logger().warning("%s", warning)
    if summary.failed:
        failure = WorkFailed("\n".join([summary.headline, *summary.troubles, *summary.failures]))
        get_run_logger().error("%s", failure)
        return failed(failure)
    return summary.to_json()


def _night_on_a_worker(root: Path | None, options: NightOptions) -> Night:
    settings, reporter = load_settings(root), _Log()
    return Night(settings, options, reporter, dispatcher(settings, reporter))


def _work(night: Night) -> None:
    policy = _everything_there(night)
    _make_samples(night)
    night.plan = plan = make_plan(night.settings, concept_names(night.settings))
    if plan.registry_unknown:
        raise WorkFailed(f"nothing was trained: {plan.registry_unknown}")
    night.choice = choice = choose(night.settings, plan, night.options)
    _write_missing_records(night, plan)
    _keep_models(night, plan)
    night.warnings += [
        f"{suspected.concept}: a night before was killed in the middle of its training, which may have taken all "
        "of the machine's memory; it comes last"
        for suspected in choice.suspected
    ]
    if foreign := foreign_to_base(night.settings, choice.trained):
        night.warnings.append(foreign)
    for waiting in choice.waiting:
        assert waiting.failures is not None  # they are why it waits
        note_passed_over(night.store, night.settings, waiting.concept, waiting.failures)
    _train(night, choice)
    _measure(night, plan, policy)
    night.warnings += reconcile(night.settings)


def _make_samples(night: Night) -> None:
    """Make the images of bundled samples where they are not, as in a fresh clone; as `train` does."""
    unmade = unmade_samples(night.settings, concept_names(night.settings))
    if not unmade:
        return
    try:
        make_samples(night.settings, unmade)
    except (InputError, WorkFailed) as error:  # the plan says it of each of them, and goes on with the others
        night.warnings.append(f"the images of {', '.join(unmade)} could not be made: {error}")


def _everything_there(night: Night) -> Policy:
    """Ask store, MLflow and DVC's remote before anything begins, and read the gate's policy.

    Raises:
        WorkFailed: something is down or wrong; all of it together.
    """
    problems: list[str] = []
    policy: Policy | None = None
    remote = dvc_storage(night.settings).remote
    probes: list[Callable[[], object]] = [night.store.probe, lambda: connect(night.settings)]
    probes += [] if remote is None or isinstance(remote, UnreadRemote) else [remote.probe]
    for probe in probes:
        try:
            probe()
        except InputError as error:
            problems += error.problems
        except WorkFailed as error:
            problems.append(str(error))
    try:
        policy = load_policy(night.settings)
    except InputError as error:
        problems += error.problems
    if problems or policy is None:
        raise WorkFailed(
            "\n".join(["nothing was trained, because not everything that a night needs is there", *problems])
        )
    return policy


def _write_missing_records(night: Night, plan: Plan) -> None:
    """Of trainings from before there were records: the plan has read them from their manifests."""
    for concept in plan.of("up to date"):
        if concept.trained and concept.trained.version is None and concept.version:
            write_last_training(night.store, night.settings, replace(concept.trained, version=concept.version.version))


def _keep_models(night: Night, plan: Plan) -> None:
    """Have the store hold what everything here stands on: also what was trained before stores kept models."""
    job = next((concept.job for concept in plan.concepts if concept.job), None)  # all have the same ones
    if job is not None:
        keep_models(night.store, job, job.recipe.models, tell=night.reporter.tell)


def _train(night: Night, choice: NightChoice) -> None:
    jobs = {plan.concept: plan for plan in choice.tonight}
    hours = night.options.max_hours
    left = None if hours is None else max(0.0, hours * 3600 - (time.monotonic() - night._clock))
    for outcome in night.dispatch([plan.job for plan in choice.tonight if plan.job], left, night.options.force):
        night.outcomes.append(outcome)
        plan = jobs[outcome.concept]
        if outcome.fault == "concept" and plan.job and outcome.error:
            try:
                night.failures[outcome.concept] = note_failure(night.store, plan.job, outcome.error, plan.failures)
            except WorkFailed as error:  # the outcome is in the summary in any case
                night.warnings.append(f"the failure of '{outcome.concept}' could not be noted: {error}")


def _measure(night: Night, plan: Plan, policy: Policy) -> None:
    """Hold what is new, or was never measured by this policy, against the champions."""
    registered = registered_versions(night.settings) if night.outcomes else plan.registered
    ours = {concept.concept for concept in plan.concepts}
    of_ours = [found for name, found in registered.items() if name in ours]
    asked = challengers(night.settings, of_ours, policy, CANDIDATE)
    night.verdicts = gate(night.settings, night.store, policy, asked)


def _tell(night: Night) -> NightSummary:
    """Sum the night up, and tell Prefect's pages, MLflow, and whoever the settings name."""
    plans = night.plan.concepts if night.plan else ()
    lines: tuple[NightConcept, ...] = ()
    if night.choice:
        lines = summed_up(plans, night.outcomes, night.choice.waiting, night.failures, night.verdicts)
    listed = {line.concept for line in lines}

    def summary() -> NightSummary:
        return NightSummary(
            started=night.started,
            seconds=round(time.monotonic() - night._clock, 1),
            up_to_date=sum(plan.state == "up to date" and plan.concept not in listed for plan in plans),
            concepts=lines,
            troubles=tuple(night.troubles),
            warnings=tuple(night.warnings),
        )

    for tell, otherwise in (
        (record_night, "MLflow has no record of this night"),
        (show_on_pages, "Prefect's pages do not show this night"),
    ):
        try:
            tell(night.settings, summary())
        except Exception as error:  # noqa: BLE001 - whatever it is, the night's work is done, and the others are told
            night.warnings += [f"{otherwise}: {said}" for said in error_lines(error, night.settings, "nightly")]
    if problem := post_summary(night.settings, summary().to_json()):
        night.warnings.append(problem)
    night.summary = summary()
    return night.summary


class _Log(Silence):
    """A night that nobody watches reports to the log of its run."""

    def tell(self, message: str) -> None:
        get_run_logger().info("%s", message)

    def warn(self, message: str) -> None:
        get_run_logger().warning("%s", message)

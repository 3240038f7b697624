"""The dispatcher of a site with workers: every concept is a run of the deployment `train-concept`, its pool the queue.

Whatever happens to a worker, the night ends: each run comes to an end that Prefect knows, or is given up with a reason.
"""

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from flows.night.dispatch import Dispatch
from flows.output.errors import error_lines
from flows.server.shared_server import fitting_server, server_client
from flows.training.outcome import ConceptOutcome
from flows.training.worker_protocol import expectation, run_tags, with_labels
from model.errors import InputError, WorkFailed
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job
from tasks.plan.last_training import find_training
from tasks.project.settings import Settings, shown_api
from tasks.registry.versions import model_name
from tasks.store.blobs import StoreFailed
from tasks.store.store import open_store

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

DEPLOYMENT = "train-concept/train-concept"
_PAGE = 200  # the most that Prefect answers at once
_UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
_RAISED = "Flow run encountered an exception: "


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long the dispatcher waits for what; seconds."""

    look: float = 5.0
    """Between two looks at all runs together."""
    word: float = 20.0
    """Until it is told that no worker is online."""
    worker: float = 300.0
    """For any worker to be online while runs wait."""
    start: float = 600.0
    """For a run to begin that a worker has taken."""
    cancel: float = 120.0
    """For a run to end that was cancelled."""
    server: float = 600.0
    """For a server that does not answer."""


class _ServerLost(WorkFailed):
    """It has not answered for too long."""


class _DispatchedJob:
    """A job that was dispatched, and what is known of its run; times are seconds of the monotonic clock."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.taken: float | None = None
        """Since when it has been with a worker."""
        self.begun: float | None = None
        """When it was first seen running."""
        self.given_up: tuple[str, float] | None = None
        """Why, and when; from then on it is being cancelled, here or by somebody else."""

    @property
    def waits(self) -> bool:
        """Whether it stands in the queue."""
        return self.taken is None and self.given_up is None


_DispatchedJobs = dict[UUID, _DispatchedJob]
_Runs = dict[UUID, "FlowRun"]
_Asked = tuple[str, str, bool]


def on_workers(settings: Settings, reporter: Reporter, patience: Patience | None = None) -> Dispatch:
    """The dispatcher that hands concepts to the workers of the settings' Prefect server.

    Whoever stops listening to it cancels what has not begun. It raises InputError where there is no server, one of
    another version, or no deployment on it, and WorkFailed where the server is lost on the way.
    """

    def dispatch(
        jobs: Sequence[Job], seconds: float | None, verified: Collection[str] = ()
    ) -> Iterator[ConceptOutcome]:
        fitting_server(settings)
        with server_client(settings) as client:
            yield from _Night(settings, reporter, patience or Patience(), client).train(jobs, seconds, verified)

    return dispatch


class _Night:
    """The runs of one call of the dispatcher."""

    def __init__(self, settings: Settings, reporter: Reporter, patience: Patience, client: "SyncPrefectClient") -> None:
        self.settings, self.reporter, self.patience, self.client = settings, reporter, patience, client
        self.dispatched: _DispatchedJobs = {}
        self._answered = self._seen_worker = time.monotonic()
        self._said_who_is_missing = False

    def train(self, jobs: Sequence[Job], seconds: float | None, verified: Collection[str]) -> Iterator[ConceptOutcome]:
        """One outcome each, as it ends."""
        try:
            yield from self._hand_out(jobs, verified)
            started = self._seen_worker = time.monotonic()
            while self.dispatched:
                for run_id, outcome in self._look_at_all():
                    del self.dispatched[run_id]
                    yield outcome
                if seconds is not None and time.monotonic() - started >= seconds:
                    self._drop_waiting()
                if self.dispatched:
                    time.sleep(self.patience.look)
        finally:
            self._drop_waiting()

    def _hand_out(self, jobs: Sequence[Job], verified: Collection[str]) -> Iterator[ConceptOutcome]:
        """A run for each job: one that an earlier night has asked for and that is not over, or a new one.

        The outcomes are of those that cannot be handed out.
        """
        present, night = _unfinished(self.client, self.settings), uuid4()
        for job in jobs:
            dispatched = _DispatchedJob(job)
            try:
                parameters = expectation(job, verify=job.concept.name in verified)
                run_id = present.get(_asked(parameters)) or self._ask(parameters, night)
            except _ServerLost:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this concept's outcome
                said = "; ".join(error_lines(error, self.settings, job.concept.name))
                yield _failed(dispatched, f"it could not be handed to Prefect: {said}")
            else:
                self.dispatched[run_id] = dispatched

    def _ask(self, parameters: dict[str, Any], night: UUID) -> UUID:
        """A new run; its id."""
        from httpx import TransportError
        from prefect.deployments import run_deployment
        from prefect.settings import temporary_settings

        while True:
            try:
                with temporary_settings({"api.url": self.settings.prefect_api_url}):
                    run: Any = run_deployment(
                        DEPLOYMENT,
                        parameters=parameters,
                        # Of this night: a run of that key which failed in another must not be given back as this one.
                        idempotency_key=f"{parameters['name']}/{parameters['expected_key']}/{night}",
                        flow_run_name=parameters["name"],
                        tags=run_tags(parameters["name"]),
                        timeout=0,
                    )
            except TransportError as error:
                self._bear(error)
                time.sleep(self.patience.look)
            else:
                self._answered = time.monotonic()
                return UUID(str(run.id))

    def _bear(self, error: Exception) -> None:
        """Wait for a server that is away for a while. Raises WorkFailed once that was too long."""
        silent = time.monotonic() - self._answered
        if silent > self.patience.server:
            raise _ServerLost(
                f"Prefect at {shown_api(self.settings)} has not answered for {silent:.0f} s ({error}); "
                "trainings that run go on, and the next night finds what they leave"
            ) from error

    def _look_at_all(self) -> list[tuple[UUID, ConceptOutcome]]:
        """What is over by now. A server that is away for a while is waited for."""
        from httpx import HTTPError

        try:
            runs = _read_runs(self.client, list(self.dispatched))
            over = [(run_id, self._look(run_id, runs.get(run_id))) for run_id in self.dispatched]
            self._look_for_workers(runs)
        except HTTPError as error:
            self._bear(error)
            return []
        self._answered = time.monotonic()
        return [(run_id, outcome) for run_id, outcome in over if outcome]

    def _look(self, run_id: UUID, run: "FlowRun | None") -> ConceptOutcome | None:
        """The outcome of a run that is over, or must be taken for over."""
        dispatched, now = self.dispatched[run_id], time.monotonic()
        if run is None or run.state is None:
            return _failed(dispatched, "its run was deleted in Prefect")
        if run.state.is_final():
            return self._outcome(dispatched, run)
        if run.state.is_cancelling() and dispatched.given_up is None:
            dispatched.given_up = (
                "cancelled in Prefect",
                now,
            )  # if nobody is left who could end it, the night ends all the same
        if dispatched.given_up:
            why, since = dispatched.given_up
            return _failed(dispatched, why, run) if now - since > self.patience.cancel else None
        if run.state.is_scheduled():
            dispatched.taken = None  # also where somebody has put it back into the queue
        elif dispatched.taken is None:
            dispatched.taken = now
        if dispatched.begun is None and run.state.is_running():
            dispatched.begun = now
            self.reporter.tell(f"{dispatched.job.concept.name}: running")
        hours = self.settings.training_hours
        if dispatched.begun is not None and now - dispatched.begun > hours * 3600:
            self._give_up(run_id, f"it was not done after {hours:g} hours (training_hours) and has been cancelled")
        if dispatched.taken is not None and dispatched.begun is None and now - dispatched.taken > self.patience.start:
            self._give_up(run_id, f"a worker took it, and {self.patience.start:.0f} s later it had not begun")
        return None

    def _look_for_workers(self, runs: _Runs) -> None:
        """Give up what waits for workers that do not come."""
        waiting = [run_id for run_id, dispatched in self.dispatched.items() if dispatched.waits and run_id in runs]
        pools = {str(runs[run_id].work_pool_name) for run_id in waiting}
        if not waiting or _online(self.client, pools):
            if self._said_who_is_missing:
                self.reporter.tell("a worker is online now")
            self._seen_worker, self._said_who_is_missing = time.monotonic(), False
            return
        alone = time.monotonic() - self._seen_worker
        named = " and ".join(f"'{pool}'" for pool in sorted(pools))
        nobody = f"no worker of pool {named} at {shown_api(self.settings)} is online"
        how = "start one on each GPU's machine with `conceptbooth worker --gpu N`"
        if alone > self.patience.worker:
            for run_id in waiting:
                self._give_up(run_id, f"it never began, for {nobody}: {how}")
        elif alone >= min(self.patience.word, self.patience.worker / 2) and not self._said_who_is_missing:
            self._said_who_is_missing = True
            left = f"{(self.patience.worker - alone) / 60:.0f} minutes more"
            self.reporter.warn(f"{len(waiting)} to train, and {nobody}: {how}; the night waits {left}")

    def _give_up(self, run_id: UUID, why: str) -> None:
        self.dispatched[run_id].given_up = (why, time.monotonic())
        _cancel(self.client, run_id)

    def _drop_waiting(self) -> None:
        """Take what has not begun out of the queue; it has no outcome."""
        from httpx import HTTPError

        for run_id in [run_id for run_id, dispatched in self.dispatched.items() if dispatched.waits]:
            name = self.dispatched.pop(run_id).job.concept.name
            try:
                _cancel(self.client, run_id)
            except HTTPError as error:
                self.reporter.warn(f"the run of '{name}' stays in the queue, because Prefect does not answer: {error}")

    def _outcome(self, dispatched: _DispatchedJob, run: "FlowRun") -> ConceptOutcome:
        assert run.state is not None
        said = run.state.message or ""
        if run.state.is_completed():  # also where it was quicker than its cancelling
            return self._done(dispatched, run)
        if dispatched.given_up:
            return _failed(dispatched, dispatched.given_up[0], run)
        if run.state.is_cancelled():
            return _failed(dispatched, f"cancelled in Prefect{f': {said}' if said else ''}", run)
        if run.state.is_crashed():
            return _failed(dispatched, f"its process came to an end: {said or 'without a word'}", run)
        return with_labels(_failed(dispatched, said.removeprefix(_RAISED) or "it failed without a word", run), run)

    def _done(self, dispatched: _DispatchedJob, run: "FlowRun") -> ConceptOutcome:
        """What the training has written down in the store."""
        name = dispatched.job.concept.name
        try:
            trained = find_training(open_store(self.settings), dispatched.job)
        except StoreFailed as error:
            return _failed(dispatched, f"it is trained, and its record cannot be read: {error}", run)
        if trained is None:
            said = "Prefect calls it completed, but the store has no record of it: do workers use another store?"
            return _failed(dispatched, said, run)
        scores, version = dict(trained.scores), trained.version
        done = dataclasses.replace(
            _outcome_of(dispatched, run), scores=scores, model_name=model_name(name), version=version
        )
        return with_labels(done, run)


def _asked(parameters: Mapping[str, Any]) -> _Asked:
    """Concept, expected key, and whether every byte is to be read."""
    return parameters.get("name", ""), parameters.get("expected_key", ""), bool(parameters.get("verify"))


def _unfinished(client: "SyncPrefectClient", settings: Settings) -> dict[_Asked, UUID]:
    """Runs of the deployment that are not over, by what they were asked for."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.exceptions import ObjectNotFound

    try:
        deployment = client.read_deployment_by_name(DEPLOYMENT)
    except ObjectNotFound as error:
        raise InputError(
            f"deployment {DEPLOYMENT} is not on {shown_api(settings)}: run `conceptbooth deploy` first"
        ) from error
    here = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    unfinished = FlowRunFilter.model_validate({"state": {"type": {"any_": list(_UNFINISHED)}}})
    found: dict[_Asked, UUID] = {}
    for offset in range(0, 10**6, _PAGE):
        runs = client.read_flow_runs(deployment_filter=here, flow_run_filter=unfinished, limit=_PAGE, offset=offset)
        for run in runs:
            if not (run.state and run.state.is_cancelling()):
                found[_asked(run.parameters)] = run.id
        if len(runs) < _PAGE:
            break
    return found


def _read_runs(client: "SyncPrefectClient", run_ids: Sequence[UUID]) -> _Runs:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    found: _Runs = {}
    for start in range(0, len(run_ids), _PAGE):
        asked = FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids[start : start + _PAGE])))
        found |= {run.id: run for run in client.read_flow_runs(flow_run_filter=asked, limit=_PAGE)}
    return found


def _online(client: "SyncPrefectClient", pools: Iterable[str]) -> bool:
    """Whether any worker of these pools is."""
    return any(worker.status == "ONLINE" for pool in pools for worker in client.read_workers_for_work_pool(pool))


def _cancel(client: "SyncPrefectClient", run_id: UUID) -> None:
    """Ask for the end of a run; one that has none on a machine yet ends at once."""
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelling

    try:
        client.set_flow_run_state(run_id, Cancelling())
    except ObjectNotFound:  # deleted by somebody else
        return


def _failed(dispatched: _DispatchedJob, why: str, run: "FlowRun | None" = None) -> ConceptOutcome:
    """No fault of the concept's, as far as is known here."""
    return dataclasses.replace(_outcome_of(dispatched, run), error=why, fault="world")


def _outcome_of(dispatched: _DispatchedJob, run: "FlowRun | None") -> ConceptOutcome:
    seconds = run.total_run_time.total_seconds() if run else 0.0
    job = dispatched.job
    return ConceptOutcome(concept=job.concept.name, base=job.recipe.base.reference, seconds=seconds)

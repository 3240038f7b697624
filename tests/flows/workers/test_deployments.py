"""A real Prefect server with real workers: schedules, slots, cancelling, and a night that is handed to workers.

The tests share one site and run in order: the first look at it without workers, the others with them.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import httpx
import pytest
import yaml
from prefect import flow
from prefect.client.schemas.filters import (
    ArtifactFilter,
)
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.settings import temporary_settings
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Running
from pydantic import SecretStr

from flows.night.dispatch_workers import DEPLOYMENT, Patience, on_workers
from flows.server.gpu_slot import slot_name
from flows.server.server_process import LOOPBACK, free_port, start_server
from flows.server.shared_server import LEASES_ON_DISK
from flows.training.worker_protocol import expectation
from flows.workers.automations import FAILED, LATE, MISSED, WATCH, make_night_watches, make_watch
from flows.workers.deployments import read_deployments
from tasks.execution.reporting import Silence
from tasks.execution.work_folders import kept_folder
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import load_settings
from tests.data_project import REPOSITORY, commit, git
from tests.flows.postgresql import INITDB, postgresql
from tests.flows.site import Site, logged, runs_of, state, until
from tests.training_project import add_concept, make_training_project, write_params

NIGHT_SECONDS = 12
GPUS = ("alpha", "beta")

pytestmark = pytest.mark.timeout(600)  # a dozen processes on two cores that others may use too


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    """PostgreSQL, as docs/operations.md advises for several workers; Prefect's own SQLite where there is none.

    On SQLite the server can stand still for a minute: its event loop waits for a connection that waits for a lock of
    the event loop's own.
    """
    if INITDB is None:
        yield {}
        return
    with postgresql("prefect") as server:
        yield {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{server}/prefect"}


@pytest.fixture(scope="module")
def site(tmp_path_factory, base_folder, evaluator_folder, database) -> Iterator[Site]:
    """A project of two concepts, whose settings leave trainings to workers, and a server."""
    root = tmp_path_factory.mktemp("site") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    add_concept(root, "cup", 20)
    (root / "prefect.yaml").write_text((REPOSITORY / "prefect.yaml").read_text())
    port = free_port(0)
    address = f"http://{LOOPBACK}:{port}/api"
    (root / "conceptbooth.toml").write_text(f'device = "cpu"\ndispatch = "workers"\nprefect_api_url = "{address}"\n')
    git(root, "init", "--quiet")
    commit(root)
    server = start_server(
        "Prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)],
        port=port,
        health="/api/health",
        log=root.parent / "server" / "server.log",
        variables={
            "PREFECT_HOME": str(root.parent / "server"),
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
            **database,
        },
    )
    found = Site(load_settings(root))
    try:
        server.wait_until_it_answers()
        with temporary_settings({"api.url": address}):
            yield found
    finally:
        for name in list(found.workers):
            found.stop_worker(name)
        server.stop()


@pytest.fixture(scope="module")
def deployed(site) -> dict[str, Any]:
    """What the first `conceptbooth deploy` of the site printed."""
    return site.deploy()


@pytest.fixture(scope="module")
def silent(site, deployed) -> tuple[UUID, UUID]:
    """A run of ours and one of somebody else after their last sign of life; for now, ten seconds without are enough."""

    @flow
    def somebody_else_s() -> None: ...

    with site.client() as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.workers.automations.SILENT_SECONDS", 10)
        deployment = client.read_deployment_by_name("nightly/nightly")
        make_watch(client, [deployment])
        ours = client.create_flow_run_from_deployment(deployment.id).id
        client.set_flow_run_state(ours, Running(), force=True)
        other = client.create_flow_run(somebody_else_s, state=Running()).id
    EventsWorker.drain_all(timeout=10)  # one that tests before these left behind would tell their server
    heartbeat, role = "prefect.flow-run.heartbeat", {"prefect.resource.role": "deployment"}
    for run, related in ((ours, [f"prefect.deployment.{deployment.id}"]), (other, [])):
        labels = [{"prefect.resource.id": name, **role} for name in related]
        emit_event(heartbeat, resource={"prefect.resource.id": f"prefect.flow-run.{run}"}, related=labels)
    return ours, other


@pytest.fixture(scope="module")
def nights(site, deployed) -> None:
    """From now on a night begins every few seconds, and there are workers."""
    for number, name in enumerate(GPUS):
        site.start_worker(name, "--gpu", str(number))
    content = yaml.safe_load((site.settings.root / "prefect.yaml").read_text())
    content["deployments"][0]["schedules"] = [{"interval": NIGHT_SECONDS}]
    (site.settings.root / "prefect.yaml").write_text(yaml.safe_dump(content))
    assert site.deploy()["pools_made"] == []
    with site.client() as client:
        until(lambda: len(client.read_workers_for_work_pool("gpu")) == len(GPUS), "the workers' start")
    site.start_worker("clock", "--cpu")


def test_deploy_makes_pools_deployments_and_schedules_that_run(site, deployed):
    assert deployed["pools_made"] == ["cpu", "gpu"]
    assert deployed["warnings"] == []
    nightly, training = deployed["deployments"]
    assert (nightly["name"], nightly["pool"], nightly["schedules"]) == ("nightly/nightly", "cpu", ["0 2 * * * Etc/UTC"])
    # The server's own scheduler has made the run: wrong versions of its libraries fail here, in silence.
    assert datetime.fromisoformat(nightly["next_run"]).strftime("%H:%M") == "02:00"
    assert (training["name"], training["pool"], training["schedules"]) == (DEPLOYMENT, "gpu", [])
    with site.client() as client:
        options = client.read_deployment_by_name("nightly/nightly").concurrency_options
        assert options and options.collision_strategy == "CANCEL_NEW"
        (watch,) = client.read_automations_by_name(WATCH)
        assert watch.enabled
        address = f"{site.settings.prefect_api_url}/automations/{watch.id}"
        before = httpx.get(address).json()
        make_watch(client, [client.read_deployment_by_name(name) for name in ("nightly/nightly", DEPLOYMENT)])
        assert httpx.get(address).json() == before, "it forgets whom it watches when it is written again"


def test_nights_that_failed_are_late_or_missed_have_automations_ready(site, deployed):
    assert deployed["automations"] == [FAILED, LATE, MISSED]
    told = site.settings.model_copy(update={"notify_url": SecretStr("http://127.0.0.1:9/notices")})
    (night,) = (each for each in read_deployments(site.settings.root / "prefect.yaml") if each.name == "nightly")
    assert night.longest_gap == timedelta(days=1)
    with site.client() as client:
        resting = [client.read_automations_by_name(name)[0] for name in (FAILED, LATE, MISSED)]
        assert not any(automation.enabled for automation in resting)
        make_night_watches(client, told, [night], [client.read_deployment_by_name("nightly/nightly")])
        found = [client.read_automations_by_name(name)[0] for name in (FAILED, LATE, MISSED)]
        assert [automation.id for automation in found] == [automation.id for automation in resting]
        assert all(automation.enabled for automation in found)
        assert {automation.actions[0].type for automation in found} == {"send-notification"}
        assert found[2].trigger.within == timedelta(hours=26)


def test_prefect_s_own_command_makes_the_same_of_the_same_file(site, deployed):
    def facts() -> list[dict[str, Any]]:
        passing = {"updated", "last_polled", "status", "version_id", "version_info", "schedules"}
        with site.client() as client:
            found = [client.read_deployment_by_name(name) for name in ("nightly/nightly", DEPLOYMENT)]
        return [
            deployment.model_dump(exclude=passing) | {"schedules": [s.schedule for s in deployment.schedules]}
            for deployment in found
        ]

    before = facts()
    site.run(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")
    assert facts() == before


@pytest.mark.usefixtures("silent")
def test_a_night_without_workers_ends_and_says_what_to_start(site, deployed):
    class Log(Silence):
        said: ClassVar[list[str]] = []

        def warn(self, message: str) -> None:
            self.said.append(message)

    jobs = plan_jobs(site.settings, ["turtle", "cup"])
    assert Patience().word < 60, "it is told in the first minute"
    outcomes = list(
        on_workers(site.settings, Log(), Patience(look=0.2, word=0.2, worker=2, cancel=30))(
            jobs, None, verified=["cup"]
        )
    )
    (told,) = Log.said
    assert told.startswith("2 to train, and no worker of pool 'gpu'") and "conceptbooth worker --gpu N" in told
    assert {outcome.concept for outcome in outcomes} == {"turtle", "cup"}
    for outcome in outcomes:
        assert "conceptbooth worker --gpu N" in outcome.error and "'gpu'" in outcome.error
    with site.client() as client:
        runs = runs_of(client, DEPLOYMENT)
    assert {run.state_name for run in runs} == {"Cancelled"}
    assert {run.parameters["name"]: run.parameters["verify"] for run in runs} == {"turtle": False, "cup": True}
    assert all(run.name == run.parameters["name"] and f"concept:{run.name}" in run.tags for run in runs)


def test_what_has_not_begun_in_time_has_no_outcome_and_leaves_the_queue(site, deployed):
    jobs = plan_jobs(site.settings, ["turtle", "cup"])
    assert list(on_workers(site.settings, Silence(), Patience(look=0.1))(jobs, 0.0)) == []
    with site.client() as client:
        assert {run.state_name for run in runs_of(client, DEPLOYMENT)} == {"Cancelled"}


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Failed(message="Flow run encountered an exception: ImportError: no torch"), "ImportError: no torch"),
        (Crashed(message="no sign of life"), "its process came to an end: no sign of life"),
        (Cancelled(), "cancelled in Prefect"),
        (Completed(), "Prefect calls it completed, but the store has no record of it"),
        (None, "its run was deleted in Prefect"),
    ],
)
def test_a_run_that_is_there_already_is_not_asked_for_twice_and_its_end_is_told(site, deployed, end, words):
    (job,) = plan_jobs(site.settings, ["cup"])
    with site.client() as client:
        before = {run.id for run in runs_of(client, DEPLOYMENT)}
        present = run_deployment(DEPLOYMENT, parameters=expectation(job), timeout=0)
        client.set_flow_run_state(present.id, Running(), force=True)

        class Listener(Silence):
            """Told that the run has begun, it brings it to its end."""

            def tell(self, message: str) -> None:
                assert message == "cup: running"
                if end is None:
                    client.delete_flow_run(present.id)
                else:
                    client.set_flow_run_state(present.id, end, force=True)

        (outcome,) = on_workers(site.settings, Listener(), Patience(look=0.2))([job], None)
        assert {run.id for run in runs_of(client, DEPLOYMENT)} - before <= {present.id}
    assert outcome.concept == "cup" and outcome.error.startswith(words)


def test_a_run_of_ours_that_says_nothing_any_more_is_called_crashed(site, silent):
    ours, other = silent
    with site.client() as client:
        until(lambda: state(client, ours) == "Crashed", "the end of a run that says nothing")
        assert "no sign of life" in client.read_flow_run(ours).state.message
        assert state(client, other) == "Running"
        client.delete_flow_run(other)


def test_a_scheduled_night_appears_and_trains_what_is_out_of_date_on_workers(site, nights):
    with site.client() as client:

        def running() -> list[FlowRun]:
            return [run for run in runs_of(client, "nightly/nightly") if run.state_name == "Running"]

        (first,) = until(running, "the beginning of a night")
        second = run_deployment("nightly/nightly", timeout=0)
        until(lambda: state(client, second.id) == "Cancelled", "the end of a night that found one running")
        assert [run.id for run in running()] == [first.id]

        def finished() -> list[FlowRun]:
            return [run for run in runs_of(client, "nightly/nightly") if run.state_name in ("Completed", "Failed")]

        night = min(until(finished, "the end of a night"), key=lambda run: run.start_time)
        assert night.state_name == "Completed", f"{night.state}\n{(site.settings.root / 'clock.log').read_text()}"
        assert night.auto_scheduled
        since = [run for run in runs_of(client, DEPLOYMENT) if run.start_time and run.start_time >= night.start_time]
        trainings = [run for run in since if run.state_name == "Completed"]
        assert {run.parameters["name"] for run in trainings} == {"turtle", "cup"}
        summary = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id={"any_": [night.id]}))
        rows = {row["concept"]: row for artifact in summary for row in json.loads(artifact.data)}
        assert {name: row["result"] for name, row in rows.items()} == {"turtle": "trained", "cup": "trained"}
        ids = [run.id for run in trainings]
        taken = until(lambda: len(found := logged(client, ids, "taken")) == 2 and found, "the log of the slots")
        back = until(lambda: len(found := logged(client, ids, "given back")) == 2 and found, "the log of the slots")
        assert len({process for _, _, process in taken}) == 2
        for slot in {slot for slot, _, _ in taken}:
            times = sorted(
                [(at, +1) for name, at, _ in taken if name == slot] + [(at, -1) for name, at, _ in back if name == slot]
            )
            assert [step for _, step in times] == [+1, -1] * (len(times) // 2), f"two at once on {slot}"


def test_nights_never_overlap_and_what_is_up_to_date_is_not_handed_out(site, nights):
    with site.client() as client:
        trainings = len(runs_of(client, DEPLOYMENT))

        def done() -> list[FlowRun]:
            found = [run for run in runs_of(client, "nightly/nightly") if run.state_name == "Completed"]
            return sorted(found, key=lambda run: run.start_time) if len(found) > 1 else []

        nightly = until(done, "a second night")
        client.pause_deployment(client.read_deployment_by_name("nightly/nightly").id)
        assert all(one.end_time <= next_one.start_time for one, next_one in pairwise(nightly))
        assert len(runs_of(client, DEPLOYMENT)) == trainings
        site.stop_worker("clock")


def test_two_train_at_once_cancelling_frees_a_gpu_and_a_killed_worker_s_training_keeps_its_own(site, nights):
    """Trainings that would take hours, so that nothing here depends on how fast anything is."""
    write_params(site.settings.root, embedding={"max_train_steps": 500_000})
    with site.client() as client:

        def asked(name: str) -> UUID:
            return run_deployment(DEPLOYMENT, parameters={"name": name}, timeout=0).id

        def held(slot: str) -> int:
            return client.read_global_concurrency_limit_by_name(slot).active_slots

        turtle, cup = asked("turtle"), asked("cup")
        ((slot, _, process),) = until(lambda: logged(client, [turtle], "taken"), "a GPU for turtle")
        ((other, _, cancelled),) = until(lambda: logged(client, [cup], "taken"), "a GPU for cup")
        assert {slot, other} == {slot_name(name) for name in GPUS}
        assert held(slot) == held(other) == 1
        assert state(client, turtle) == state(client, cup) == "Running"

        of_cup = ArtifactFilter(flow_run_id={"any_": [cup]}, key={"any_": ["cup-train-1-embedding"]})
        until(lambda: any(shown.data for shown in client.read_artifacts(artifact_filter=of_cup)), "cup's first steps")
        client.set_flow_run_state(cup, Cancelling())
        until(lambda: not Path(f"/proc/{cancelled}").exists(), "the end of the process")
        until(lambda: held(other) == 0, "the GPU's release")
        until(lambda: state(client, cup) == "Cancelled", "the cancelled state")
        (job,) = plan_jobs(site.settings, ["cup"])
        checkpoints = kept_folder(site.settings, job.trainings[0]) / "checkpoints"
        assert list(checkpoints.glob("step-*")), "the next training goes on from here"
        site.stop_worker(other.removeprefix("gpu-"))

        worker = slot.removeprefix("gpu-")
        site.workers[worker].kill()
        site.workers[worker].wait()
        site.start_worker(worker, "--gpu", str(GPUS.index(worker)))
        cup = asked("cup")
        until(lambda: state(client, cup) == "Running", "the start of cup")
        time.sleep(3)  # it would take the slot at once, if it could
        assert logged(client, [cup], "taken") == [] and held(slot) == 1

        os.kill(process, signal.SIGTERM)
        until(lambda: logged(client, [cup], "taken"), "the turn of cup")
        assert held(slot) == 1
        assert state(client, turtle) != "Completed"

"""Registration against a real MLflow server, which also goes down in the middle and comes back."""

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from socket import socket

import pytest
from mlflow.tracking import MlflowClient

from flows.doctor.services import service_probes
from tasks.project.settings import Settings
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.registry.registration import confirm, register
from tasks.registry.versions import resolve, versions
from tasks.tracking.client import TrackingUnreachable, connect, experiment_id
from tests.tasks.finished_training import DATA_VERSION, concept, project, training

START_SECONDS = 240


class Server:
    """`mlflow server` over a database and an artefact folder of its own, on one port for all its lives."""

    def __init__(self, folder) -> None:
        with closing(socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder = folder

    def start(self) -> None:
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        files = ["--artifacts-destination", str(self.folder / "artifacts")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *place, *store, *files],
            cwd=self.folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, "mlflow server does not come up"
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def settings(server, tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return project(tmp_path, mlflow_tracking_uri=server.uri)


def test_a_version_travels_to_the_server_and_back(settings):
    registered = register(settings, concept(settings), training(settings))
    assert register(settings, concept(settings), training(settings)).version == registered.version
    client = connect(settings)
    assert [int(version.version) for version in versions(client, "turtle")] == [registered.version]
    found = client.search_runs([experiment_id(client, settings)], f"dataset.digest = '{DATA_VERSION}'")
    assert [run.info.run_id for run in found] == [registered.run_id]
    assert len(client.get_metric_history(registered.run_id, "clip_i")) == 1
    assert confirm(settings, registered) is None
    assert not (settings.home / "mlflow" / "artifacts").exists()  # the server keeps them

    resolved = resolve(settings, VersionReference.parse("turtle"))
    kept = resolved.folder / "concept.safetensors"
    assert resolved.folder.parent.parent == settings.home / "versions"
    assert kept.stat().st_size == int(resolved.tags["conceptbooth.weights_size"])
    good = kept.read_bytes()
    kept.write_bytes(good[::-1])
    assert resolve(settings, VersionReference.parse("turtle")).folder == resolved.folder
    assert kept.read_bytes() == good  # fetched again: the copy was not what its name says
    assert [*(settings.home / "versions").iterdir()] == [resolved.folder.parent]


def test_a_server_is_asked_for_all_versions_at_once_without_mlflow_s_client(settings):
    registered = register(settings, concept(settings), training(settings))
    connect(settings).set_registered_model_alias("concept.turtle", "champion", str(registered.version))
    (known,) = [v for v in registered_versions(settings)["turtle"] if v.version == registered.version]
    assert known.tags["conceptbooth.key"] == registered.key
    assert known.tags["conceptbooth.stage.gallery"] and known.aliases == {CANDIDATE, "champion"}


def test_a_server_that_dies_in_the_middle_costs_nothing_but_a_second_call(settings, server, monkeypatch):
    manifests = training(settings, seed=1)
    with monkeypatch.context() as dying:
        real = MlflowClient.log_table

        def die_first(*args):
            server.kill()
            return real(*args)

        dying.setattr(MlflowClient, "log_table", die_first)
        with pytest.raises(TrackingUnreachable) as caught:
            register(settings, concept(settings, "teapot"), manifests)
    assert "does not answer" in str(caught.value)
    assert "`conceptbooth train teapot` again once" in str(caught.value)
    with pytest.raises(TrackingUnreachable, match="does not answer"):
        resolve(settings, VersionReference.parse("teapot"))

    server.start()
    registered = register(settings, concept(settings, "teapot"), manifests)
    client = connect(settings)
    assert registered.created
    assert client.get_model_version_by_alias("concept.teapot", CANDIDATE).version == str(registered.version)
    (run,) = client.search_runs([experiment_id(client, settings)], f"tags.`conceptbooth.key` = '{registered.key}'")
    assert run.info.run_id == registered.run_id


def test_the_doctor_writes_to_a_server_and_to_where_it_keeps_artefacts(settings):
    found = {finding.what: finding for finding in service_probes(settings)["MLflow"]()}
    assert found["MLflow"].state == "ok" and "writes and reads" in found["MLflow"].found
    assert found["MLflow artefacts"].state == "ok" and "writes and reads" in found["MLflow artefacts"].found

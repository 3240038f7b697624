import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import socket

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from model.errors import InputError, WorkFailed
from tasks.project.settings import Settings
from tasks.tracking.address import EXPERIMENT, address_problem, shown
from tasks.tracking.client import TrackingUnreachable, connect, experiment_id, sorted_failures
from tasks.tracking.embedded import half_made
from tests.tasks.finished_training import migrated_database, project

HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(100)
"""


def at(root: Path, uri: str) -> Settings:
    return Settings(root=root, mlflow_tracking_uri=uri)


def free_port() -> int:
    with closing(socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server_that_says(status: int, body: str):
    """A web server on loopback that gives one answer to everything; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "uri", ["ftp://host/x", "mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "databricks", "http:/x"]
)
def test_addresses_that_cannot_work_are_named_with_the_way_out(tmp_path, uri):
    problem = address_problem(at(tmp_path, uri))
    assert problem is not None
    assert uri in problem
    assert "MLFLOW_TRACKING_URI" in problem or "no host" in problem
    with pytest.raises(InputError):
        connect(at(tmp_path, uri))


def test_a_relative_database_is_refused_because_it_depends_on_the_folder(tmp_path):
    assert "relative path" in address_problem(at(tmp_path, "sqlite:///mlflow.db"))


@pytest.mark.parametrize("uri", ["http://host:5000", "https://host/prefix", "postgresql+psycopg2://u@host/db"])
def test_addresses_of_servers_are_not_asked_to_be_judged(tmp_path, uri):
    assert address_problem(at(tmp_path, uri)) is None


def test_a_database_inside_a_file_or_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "no folder that can be written" in address_problem(at(tmp_path, f"sqlite:///{tmp_path}/file/mlflow.db"))
    assert "no file that can be written" in address_problem(at(tmp_path, f"sqlite:///{tmp_path}"))


@pytest.mark.parametrize("scheme", ["postgresql", "http"])
def test_a_password_is_never_shown(tmp_path, scheme):
    settings = at(tmp_path, f"{scheme}://mlflow:s3cret@127.0.0.1:9/mlflow")
    assert shown(settings) == f"{scheme}://127.0.0.1:9/mlflow"
    with pytest.raises(TrackingUnreachable) as caught:
        connect(settings)
    assert "127.0.0.1:9" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_a_dead_address_is_an_outage_and_not_bad_input(tmp_path, scheme):
    port = free_port()
    address = f"{scheme}://127.0.0.1:{port}/x"
    with pytest.raises(TrackingUnreachable) as caught:
        connect(at(tmp_path, address))
    said = f"MLflow at {address} does not answer: Connection refused"
    assert caught.value.said == said
    assert str(caught.value) == f"{said}; start it, or set MLFLOW_TRACKING_URI to one that answers"
    assert caught.value.retryable
    assert isinstance(caught.value, WorkFailed)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_an_outage(tmp_path, status):
    with server_that_says(status, "busy") as uri, pytest.raises(TrackingUnreachable, match=f"answers {status}"):
        connect(at(tmp_path, uri))


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>a router</html>"), (404, "not found"), (403, ""), (401, '{"error_code": "UNAUTHENTICATED"}')],
)
def test_another_server_or_one_that_does_not_know_us_is_bad_input(tmp_path, status, body):
    with server_that_says(status, body) as uri, pytest.raises(InputError, match=f"{uri} answers {status}"):
        connect(at(tmp_path, uri))


def test_failures_in_the_middle_are_sorted_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    from tasks.tracking.client import sorted_failures

    said = '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}'
    with server_that_says(404, said) as uri:
        settings = at(tmp_path, uri)
        client = connect(settings)
        with pytest.raises(WorkFailed, match=r"refused: .*none") as caught, sorted_failures(settings):
            client.get_run("0" * 32)
        assert not isinstance(caught.value, TrackingUnreachable)
    with pytest.raises(TrackingUnreachable, match="does not answer"), sorted_failures(settings):
        client.get_run("0" * 32)
    with pytest.raises(WorkFailed, match=r"cannot be read or written.*No space left"), sorted_failures(settings):
        raise OSError(28, "No space left on device", "/artifacts/x")
    with pytest.raises(TrackingUnreachable, match=r"cannot work now: database is locked$"), sorted_failures(settings):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked"))
    with pytest.raises(ZeroDivisionError), sorted_failures(settings):
        raise ZeroDivisionError  # a mistake of ours stays what it is


def test_a_moved_project_is_told_where_its_files_still_are(tmp_path):
    settings = project(tmp_path / "here")
    client = connect(settings)
    assert experiment_id(client, settings) == experiment_id(client, settings)
    assert address_problem(settings) is None
    moved = settings.model_copy(update={"mlflow_artifact_root": "file:///elsewhere"})
    with pytest.raises(InputError, match=r"here/\.conceptbooth/mlflow/artifacts, but .* say file:///elsewhere"):
        experiment_id(client, moved)
    assert "here/.conceptbooth/mlflow/artifacts, but" in address_problem(moved)  # before any work, without MLflow


def test_a_deleted_experiment_is_taken_back(tmp_path):
    settings = project(tmp_path)
    client = connect(settings)
    first = experiment_id(client, settings)
    client.delete_experiment(first)
    assert experiment_id(client, settings) == first
    assert client.get_experiment_by_name(EXPERIMENT).lifecycle_stage == "active"


def test_a_damaged_database_is_named(tmp_path):
    settings = project(tmp_path)
    (settings.home / "mlflow" / "mlflow.db").write_text("this is no database, " * 100)
    with pytest.raises(WorkFailed, match=r"mlflow\.db"):
        connect(settings)
    assert not issubclass(MlflowException, WorkFailed)


def test_a_database_that_was_killed_half_made_is_made_anew(tmp_path) -> None:
    file = tmp_path / "mlflow.db"
    settings = Settings(root=tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")
    shutil.copyfile(migrated_database(), file)
    with closing(sqlite3.connect(file)) as database, database:  # as after some of the migrations
        database.execute("DROP TABLE model_versions")
        database.execute("DELETE FROM alembic_version")
        database.execute("DELETE FROM experiment_tags")
    assert half_made(file)
    connect(settings).create_registered_model("one")
    assert not half_made(file)
    connect(settings).get_registered_model("one")
    assert [path.name for path in tmp_path.glob("*.db*")] == ["mlflow.db"]


def test_a_database_with_something_in_it_is_never_made_anew(tmp_path) -> None:
    file = tmp_path / "mlflow.db"
    shutil.copyfile(migrated_database(), file)
    connect(Settings(root=tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")).create_registered_model("one")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'older'")
    assert not half_made(file)


def test_a_locked_database_is_busy_and_held_by_somebody(tmp_path) -> None:
    file = tmp_path / "mlflow.db"
    shutil.copyfile(migrated_database(), file)
    settings = Settings(root=tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with (
            pytest.raises(TrackingUnreachable, match=f"is busy, held by process {holder.pid}"),
            sorted_failures(settings),
        ):
            connect(settings).search_experiments()
        holder.kill()

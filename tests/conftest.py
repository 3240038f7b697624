"""What all tests share: an environment of their own, tiny models, a project to train in, and a real Prefect API."""

import contextlib
import os
import signal
import tempfile
from pathlib import Path

import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that: no test could press Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before anything imports Prefect, which reads its settings once: nothing of a test may reach the home folder.
_SCRATCH = tempfile.TemporaryDirectory(prefix="conceptbooth-tests-")
for _name in [name for name in os.environ if name.startswith(("CONCEPTBOOTH_", "PREFECT_", "MLFLOW_", "AWS_"))]:
    del os.environ[_name]
os.environ |= {
    "PREFECT_HOME": f"{_SCRATCH.name}/prefect",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@contextlib.contextmanager
def _environment_put_back():
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True, scope="module")
def _environment_of_the_module():
    """What fixtures of a module leave in it is for its own tests."""
    with _environment_put_back():
        yield


@pytest.fixture(autouse=True)
def _own_environment():
    """Commands put settings into the environment for the libraries; the next test has another project."""
    with _environment_put_back():
        yield


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    """A base model of random weights that draws 16 pixels."""
    from tests.model.tiny import write_tiny_base

    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def evaluator_folder(tmp_path_factory) -> Path:
    """A CLIP model of random weights."""
    from tests.model.tiny import write_tiny_clip

    return write_tiny_clip(tmp_path_factory.mktemp("tiny") / "clip")


@pytest.fixture
def project(tmp_path, base_folder, evaluator_folder):
    """Settings of a project with one concept, `turtle`, that trains in seconds."""
    from tests.training_project import make_training_project

    return make_training_project(tmp_path / "project", base_folder, evaluator_folder)


@pytest.fixture(scope="session")
def s3_server():
    """The address of a server that speaks S3."""
    from tests.s3 import moto_server

    with moto_server() as endpoint_url:
        yield endpoint_url


@pytest.fixture
def s3_bucket(s3_server, monkeypatch) -> str:
    """A new bucket there; AWS's variables lead to it."""
    from tests.s3 import CREDENTIALS, new_bucket

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    return new_bucket(s3_server)


@pytest.fixture(scope="session")
def lineage_project(tmp_path_factory, base_folder, evaluator_folder):
    """A project with two registered versions of one concept; tests leave it as they find it."""
    from tests.lineage_project import make_lineage_project

    with _environment_put_back():  # what lasts for the session is made before a test's own environment is noted
        return make_lineage_project(tmp_path_factory.mktemp("lineage") / "project", base_folder, evaluator_folder)


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory):
    """The URL of a real Prefect API with a database of its own; flows of this process use it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    from flows.server.local_api import prefect_api
    from tasks.project.settings import Settings

    root = tmp_path_factory.mktemp("prefect")
    (root / "params.yaml").touch()
    with prefect_api(Settings(root=root)) as api:
        api.wait_until_it_answers()
        with temporary_settings({"api.url": api.url, "results.local_storage_path": root / "results"}):
            yield api.url
            APILogWorker.drain_all(timeout=10)
            EventsWorker.drain_all(timeout=10)

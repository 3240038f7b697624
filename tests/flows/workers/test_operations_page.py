"""docs/operations.md as written: its commands and settings, in its order, by names that are not localhost."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flows.server.server_process import free_port
from model.errors import InputError
from tasks.project.settings import load_settings
from tasks.store.s3 import s3_client
from tasks.tracking.client import connect
from tests.data_project import REPOSITORY, commit, git, photo
from tests.flows.site import CONCEPTBOOTH, until
from tests.s3 import CREDENTIALS
from tests.training_project import make_training_project

PAGE = (REPOSITORY / "docs" / "operations.md").read_text()
HOST = socket.gethostname()

pytestmark = pytest.mark.timeout(600)  # two servers that take half a minute each where others work too


def block(holds: str) -> str:
    """The page's block of code that holds these words, without its remarks."""
    (found,) = [each for each in re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL) if holds in each]
    return found


def resolves(name: str) -> bool:
    try:
        return bool(socket.gethostbyname(name))
    except OSError:
        return False


@contextmanager
def running(command: str, root: Path, variables: dict[str, str], health: str) -> Iterator[None]:
    """The command of a server, in a shell, while the block runs."""
    with (root.parent / "server.log").open("ab") as log:
        server = subprocess.Popen(
            ["bash", "-c", command], cwd=root, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until(lambda: server.poll() is None and answers(health), f"`{command}`")
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


@pytest.mark.skipif(HOST == "localhost" or not resolves(HOST), reason="this machine has no name of its own")
def test_its_commands_in_its_order(tmp_path, base_folder, evaluator_folder, s3_server, s3_bucket):
    root, (prefect, mlflow) = tmp_path / "project", (free_port(0), free_port(0))
    make_training_project(root, base_folder, evaluator_folder)
    (root / "prefect.yaml").write_text((REPOSITORY / "prefect.yaml").read_text())
    ours = {
        "https://s3.example.org": s3_server,
        "s3://concepts": f"s3://{s3_bucket}",
        "prefect.example.org:4200": f"{HOST}:{prefect}",
        "mlflow.example.org:5000": f"{HOST}:{mlflow}",
        "mlflow.example.org": HOST,
        "/var/lib/prefect": str(tmp_path / "prefect"),
        "prefect server start": f"prefect server start --port {prefect}",
        "mlflow server": f"mlflow server --port {mlflow}",
        "--workers 4": "--workers 1",
        "postgresql+psycopg2://user:password@host:5432/mlflow": f"sqlite:///{tmp_path}/mlflow.db",
        '"cuda"': '"cpu"',
    }

    def page(holds: str) -> str:
        text = block(holds)
        for theirs, here in ours.items():
            text = text.replace(theirs, here)
        return text

    # As in a shell of somebody who has just come: of S3 it knows the credentials alone.
    gone = ("CONCEPTBOOTH_", "PREFECT_", "MLFLOW_", "AWS_ENDPOINT")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(gone)} | CREDENTIALS
    variables |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}

    def shell(command: str) -> str:
        done = subprocess.run(["bash", "-ec", command], cwd=root, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kept() -> int:
        return s3_client(s3_server).list_objects_v2(Bucket=s3_bucket, Prefix="dvc/files/md5/")["KeyCount"]

    # The store in S3, and images for workers
    git(root, "init", "--quiet")
    shell("dvc init --quiet")
    settings = page('store = "s3://concepts/store"')
    (root / "conceptbooth.toml").write_text(settings)
    photos = [photo(60 + number, 48, 48) for number in range(6)]
    for number, each in enumerate(photos):
        each.save(tmp_path / f"{number}.png")
    facts = "--category turtle --licence MIT --source made --consent none"
    shell(f"{CONCEPTBOOTH} add cup {tmp_path}/[0-2].png {facts}")
    remote, push = page("dvc remote add").split("dvc push")[0], "dvc push"
    for line in remote.splitlines():
        shell(line)
    shell(push)
    assert kept() == 4  # three images and their list
    shell(f"{CONCEPTBOOTH} add mug {tmp_path}/[3-5].png {facts} --push")
    assert kept() == 8
    commit(root)

    # The servers, the settings, what runs there
    with running(page("PREFECT_HOME=/var/lib/prefect"), root, variables, f"http://{HOST}:{prefect}/api/health"):
        assert httpx.get(f"http://{HOST}:{prefect}/ui-settings").json()["api_url"] == f"http://{HOST}:{prefect}/api"
        settings += page('prefect_api_url = "http').replace("# conceptbooth.toml", "")
        (root / "conceptbooth.toml").write_text(settings)
        deployed = json.loads(shell(f"{page('conceptbooth deploy').strip()} --json"))
        assert [each["name"] for each in deployed["deployments"]] == ["nightly/nightly", "train-concept/train-concept"]
        assert deployed["warnings"] == []

        # Databases and their driver are of PostgreSQL, which another test has.
        server = re.sub(r".*pip install [^\n]*\n", "", page("mlflow server --host"), flags=re.DOTALL)
        with running(server, root, variables, f"http://{HOST}:{mlflow}/health"):
            settings += page("mlflow_tracking_uri = ").replace("# conceptbooth.toml", "")
            (root / "conceptbooth.toml").write_text(settings)
            for _ in range(3):  # on a busy machine the clients of two servers take longer than doctor waits
                findings = json.loads(shell(f"{CONCEPTBOOTH} doctor --json || true"))["findings"]
                places = ("store", "DVC remote", "MLflow", "MLflow artefacts", "Prefect")
                unwell = [each for each in findings if each["what"] in places and each["state"] != "ok"]
                if not any("no answer within" in each["found"] for each in unwell):
                    break
            assert unwell == [] and {each["what"] for each in findings} >= set(places)
            other = load_settings(root).model_copy(update={"mlflow_tracking_uri": f"http://127.0.0.2:{mlflow}"})
            with pytest.raises(InputError, match=r"Invalid Host header.*--allowed-hosts 127\.0\.0\.2"):
                connect(other)

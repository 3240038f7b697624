"""`conceptbooth train` itself, stopped by a signal and killed: it goes on where it was and registers one version."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tasks.jobs.jobs import plan_jobs
from tasks.plan.last_training import read_last_training
from tasks.store.store import open_store
from tests.training_project import write_params

STEPS = 100
PATIENCE = 400  # seconds; a tenth of it is enough on a machine that does nothing else
RUN = "from flows.cli.app import main; main()"
KILL_WHILE_IT_REGISTERS = """
import os, signal
from mlflow.tracking import MlflowClient
create = MlflowClient.create_model_version
MlflowClient.create_model_version = lambda *a, **o: (create(*a, **o), os.kill(os.getpid(), signal.SIGKILL))
"""


def start(project, before: str = "") -> subprocess.Popen:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_TRACKING"))},
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        "CONCEPTBOOTH_CHECKPOINT_EVERY": "20 steps",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", before + RUN, "train", "turtle"]
    return subprocess.Popen(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, condition: Callable[[], bool]) -> None:
    """Return when the condition holds, while the command still runs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it never came so far: {process.communicate()}")
        time.sleep(0.05)


def checkpoints(project) -> list[int]:
    return [int(path.name.split("-")[1]) for path in project.home.glob("work/train-3-*/kept/checkpoints/step-*[0-9]")]


def locks(project) -> list[Path]:
    return [*project.home.glob("work/*.lock"), *project.home.glob("store/locks/train-*")]


def registered(project) -> list[int]:
    """Numbers of the versions in the registry."""
    versions = MlflowClient(project.mlflow_tracking_uri).search_model_versions("name = 'concept.turtle'")
    return [int(version.version) for version in versions]


@pytest.mark.timeout(900)  # many processes, each of which loads its libraries
def test_a_command_that_is_stopped_goes_on_and_registers_once(project):
    write_params(project.root, unet={"max_train_steps": STEPS})
    (job,) = plan_jobs(project, ["turtle"])

    stopped = start(project)
    wait_for(stopped, lambda: bool(checkpoints(project)))
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate()
    assert stopped.returncode == -signal.SIGTERM, said
    assert 20 <= max(checkpoints(project)) < STEPS and locks(project) == []

    killed = start(project, KILL_WHILE_IT_REGISTERS)
    _, said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    store = open_store(project)
    assert registered(project) == [1] and read_last_training(store, project, "turtle") is None

    done = start(project)
    _, said = done.communicate()
    assert done.returncode == 0, said
    trained = read_last_training(store, project, "turtle")
    assert trained is not None and trained.version == 1
    assert all(store.find_checked(plan.stage, plan.key) for plan in job.stages)
    assert list((project.home / "work").iterdir()) == []
    assert registered(project) == [1]
    with closing(sqlite3.connect(project.home / "prefect" / "prefect.db")) as database:
        ends = database.execute("SELECT state_type FROM flow_run ORDER BY created").fetchall()
    assert ends == [("CRASHED",), ("CRASHED",), ("COMPLETED",)]
    client = MlflowClient(project.mlflow_tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("conceptbooth").experiment_id])
    assert sorted(run.info.run_name for run in runs if run.info.status == "FINISHED") == [
        "turtle v1",
        "turtle v1: 1 embedding",
        "turtle v1: 2 cross attention",
        "turtle v1: 3 unet",
    ]
    assert len(runs) == 4  # none was doubled

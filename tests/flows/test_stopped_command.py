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

from tasks.jobs import plan_jobs
from tasks.store import open_store
from tests.training_project import write_params

STEPS = 100
COMMAND = [sys.executable, "-c", "from flows.cli import main; main()", "train", "turtle"]


def start(project) -> subprocess.Popen:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_TRACKING"))},
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "CONCEPTBOOTH_CHECKPOINT_EVERY": "20 steps",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        COMMAND, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, condition: Callable[[], bool]) -> None:
    """Return when the condition holds, while the command still runs."""
    for _ in range(2400):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it never came so far")


def checkpoints(project) -> list[int]:
    return [int(path.name.split("-")[1]) for path in project.home.glob("work/train-3-*/kept/checkpoints/step-*[0-9]")]


def locks(project) -> list[Path]:
    return [*project.home.glob("work/*.lock"), *project.home.glob("store/locks/train-*")]


@pytest.mark.timeout(900)  # many processes, each of which loads its libraries
def test_a_command_that_is_stopped_goes_on_and_registers_once(project):
    write_params(project.root, unet={"max_train_steps": STEPS})
    (job,) = plan_jobs(project, ["turtle"])

    def stop(number: signal.Signals, when: Callable[[], bool]) -> tuple[int, str]:
        process = start(project)
        wait_for(process, when)
        process.send_signal(number)
        _, said = process.communicate()
        return process.returncode, said

    code, said = stop(signal.SIGTERM, lambda: bool(checkpoints(project)))
    assert code == -signal.SIGTERM, said
    assert 20 <= max(checkpoints(project)) < STEPS and locks(project) == []

    gallery = project.home / "store" / "stages" / "gallery"
    code, said = stop(signal.SIGKILL, gallery.exists)  # while it registers
    assert code == -signal.SIGKILL, said

    done = start(project)
    _, said = done.communicate()
    assert done.returncode == 0, said
    store = open_store(project)
    assert all(store.find_checked(plan.stage, plan.key) for plan in job.stages)
    assert list((project.home / "work").iterdir()) == []
    versions = MlflowClient(project.mlflow_tracking_uri).search_model_versions("name = 'concept.turtle'")
    assert [int(version.version) for version in versions] == [1]
    with closing(sqlite3.connect(project.home / "prefect" / "prefect.db")) as database:
        ends = database.execute("SELECT state_type FROM flow_run ORDER BY created").fetchall()
    assert ends == [("CRASHED",), ("CRASHED",), ("COMPLETED",)]

"""Whether a training survives being killed: `python -m benchmarks.kills [--kills 100] [--seed 0]`.

The whole command, `conceptbooth train`, is killed (-9) at random moments and run again until it is done, in one fresh
project after the other: tiny models, short stages, everything else real. Then the store, the registry and the folder
are compared with those of a training that nobody disturbed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mlflow.tracking import MlflowClient
from rich.console import Console
from rich.table import Table

from tasks.jobs.jobs import Job, plan_jobs
from tasks.project.settings import Settings
from tasks.registry.store_records import registry_id
from tasks.store.store import open_store
from tests.model.tiny import write_tiny_base, write_tiny_clip
from tests.training_project import make_training_project, write_params

PROJECT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from flows.cli.app import main; main()", "train", "turtle"]
STEPS = 60
MOST_KILLS = 8
"""In one project; then it is run to the end."""


def main() -> None:
    """Kill, run again, compare, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    places: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = new_project(Path(folder), "undisturbed")
        seconds = finish(undisturbed)
        number = 0
        while places.total() < asked.kills:
            number += 1
            project = new_project(Path(folder), f"project-{number}")
            for _ in range(min(MOST_KILLS, asked.kills - places.total())):
                process, began = start(project), time.monotonic()
                # Half of the time is Python's and Prefect's start, in which there is little to lose.
                moment = rng.uniform(seconds * 0.3, seconds)
                while process.poll() is None and time.monotonic() - began < moment:
                    time.sleep(0.01)
                if process.poll() is not None:
                    break
                process.send_signal(signal.SIGKILL)
                process.wait()
                places[place := reached(project)] += 1
                print(f"{places.total()}: project {number}, {place}", file=sys.stderr)
            finish(project)
            wrong += [f"project {number}: {problem}" for problem in differences(undisturbed, project)]
    table = Table("killed when it had reached", "times", title=f"{places.total()} kills in {number} projects")
    for place, times in sorted(places.items()):
        table.add_row(place, str(times))
    console = Console()
    console.print(table)
    console.print(f"undisturbed: {seconds:.1f} s; differences afterwards: {len(wrong)}", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


def new_project(folder: Path, name: str) -> Settings:
    """A project whose training takes a few seconds."""
    models = folder / "models"
    if not models.exists():
        write_tiny_base(models / "base")
        write_tiny_clip(models / "clip")
    settings = make_training_project(folder / name, models / "base", models / "clip")
    write_params(
        settings.root, **{stage: {"max_train_steps": STEPS} for stage in ("embedding", "cross_attention", "unet")}
    )
    return settings


def start(project: Settings) -> "subprocess.Popen[bytes]":
    """The command, with a checkpoint every ten steps."""
    variables = {"PYTHONPATH": str(PROJECT), "CONCEPTBOOTH_CHECKPOINT_EVERY": "10 steps", "OMP_NUM_THREADS": "1"}
    log = (project.root / "log").open("ab")
    return subprocess.Popen(COMMAND, cwd=project.root, env={**os.environ, **variables}, stdout=log, stderr=log)


def finish(project: Settings) -> float:
    """Run the command to its end; seconds."""
    began = time.monotonic()
    if start(project).wait() != 0:
        sys.exit((project.root / "log").read_text())
    return time.monotonic() - began


def job_of(project: Settings) -> Job:
    """The one job of the project."""
    return plan_jobs(project, ["turtle"])[0]


def reached(project: Settings) -> str:
    """What the training had under way, or had finished last."""
    for number, plan in reversed(list(enumerate(job_of(project).stages))):
        folder = project.home / "work" / f"{plan.stage}-{plan.key[:16]}"
        if folder.exists():
            return f"{number} {plan.stage}: under way"
        if (project.home / "store" / "stages" / plan.stage / plan.key).exists():
            return f"{number} {plan.stage}: done"
    return "  nothing yet"


def differences(undisturbed: Settings, project: Settings) -> Iterator[str]:
    """What is otherwise than in the project that was not killed."""
    stores = open_store(undisturbed), open_store(project)
    for plan in job_of(project).stages:
        one, other = (store.get(plan.stage, plan.key).digest() for store in stores)
        if one != other:
            yield f"{plan.stage}: digest {other[:12]} instead of {one[:12]}"
    versions = MlflowClient(project.mlflow_tracking_uri).search_model_versions("name = 'concept.turtle'")
    if [int(version.version) for version in versions] != [1]:
        yield f"versions {[version.version for version in versions]} instead of [1]"
    one_left, other_left = (
        {
            # each project has a registry of its own, whose name stands in the store
            path.relative_to(settings.home).as_posix().replace(registry_id(settings), "<registry>")
            for room in ("store", "work")
            for path in (settings.home / room).rglob("*")
        }
        for settings in (undisturbed, project)
    )
    for name in sorted(one_left ^ other_left):
        yield f"{name}: {'left behind' if name in other_left else 'missing'}"


if __name__ == "__main__":
    main()

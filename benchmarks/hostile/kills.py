"""Whether every command survives being killed.

A new project's life, from the first command on, which also makes MLflow's and Prefect's databases: each command is
killed (-9) at random moments of its time and then run to its end, before the next begins. What holds: the same command
ends as it does where nobody disturbed it. Tiny models, everything else real.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.hostile.parts import Tried
from benchmarks.kills import PROJECT, new_project
from tasks.project.settings import Settings
from tests.data_project import commit, git, photos
from tests.training_project import write_params

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("doctor",),
    ("add", "pot", "{photos}", "--category", "teapot"),
    ("plan",),
    ("train", "turtle"),
    ("nightly", "--now"),
    ("generate", "turtle", "a {} in the snow", "-o", "{out}/pictures"),
    ("lineage", "turtle", "--verify"),
    ("promote", "turtle", "--reason", "a trial"),
    ("export", "turtle", "--as", "diffusers", "-o", "{out}/export"),
    ("gc",),
    ("takedown", "{image}", "--reason", "a trial", "--yes"),
    ("releases",),
)


KILLS, SEED = 25, 0


def attempts() -> Iterator[Tried]:
    """Run undisturbed, run killed, compare how each command ends."""
    rng = random.Random(SEED)
    shares = [KILLS // len(COMMANDS) + (n < KILLS % len(COMMANDS)) for n in range(len(COMMANDS))]
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, killed = (life(Path(folder), name) for name in ("undisturbed", "killed"))
        for command, share in zip(COMMANDS, shares, strict=True):
            began = time.monotonic()
            expected = start(undisturbed, command).wait()
            seconds = time.monotonic() - began
            moments = [rng.uniform(0, seconds) for _ in range(share)]
            struck = [moment for moment in moments if kill(killed, command, moment)]
            code = start(killed, command).wait()
            held = code == expected or _was_done(killed)
            said = f"the same command then ends with {code}, undisturbed with {expected}"
            for moment in struck:
                yield Tried(what=f"{command[0]}, killed after {moment:.1f} of {seconds:.1f} s", held=held, said=said)


def life(folder: Path, name: str) -> Settings:
    """A committed project in which no command has run, with pictures to add beside it."""
    settings = new_project(folder, name)
    (settings.home / "mlflow" / "mlflow.db").unlink()
    write_params(settings.root)
    (settings.root / ".dvc").mkdir()
    for file in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (settings.root / file).write_bytes((PROJECT / file).read_bytes())
    photos(folder / f"{name}-photos", 3, first=60)
    git(settings.root, "init", "--quiet")
    commit(settings.root)
    return settings


def start(project: Settings, command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """The command in the project."""
    places = {
        "{photos}": f"{project.root}-photos",
        "{out}": f"{project.root}-out",
        "{image}": str(project.concepts_dir / "turtle/images/00.png"),
    }
    words = list(command)
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    variables = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    with (project.root / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", "from flows.cli.app import main; main()", *words],
            cwd=project.root,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _was_done(project: Settings) -> bool:
    """Whether a command has refused to do again what it had done when it was killed at its very end."""
    said = (project.root / "log").read_text(errors="replace")[-300:]
    return "exists already" in said or "is there already" in said  # a concept, an export: both appear whole


def kill(project: Settings, command: Sequence[str], moment: float) -> bool:
    """Kill the command so many seconds after its start; False if it had ended by then."""
    process = start(project, command)
    try:
        process.wait(moment)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True

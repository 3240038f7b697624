"""What is asked of DVC itself: take a folder under version control, make the bundled samples.

Reading is not among it: tasks/image_sets.py reads DVC's files without DVC, which would take a second to start, and
whose lock lets no two readers in.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.errors import WorkFailed
from tasks.settings import Settings, environment


def dvc_add(settings: Settings, folder: Path) -> None:
    """Put a folder into DVC's cache and write `<folder>.dvc`; does nothing to a folder that is there already.

    Raises:
        WorkFailed: DVC could not, with what it said.
    """
    _run(settings, "add", "--quiet", str(folder.relative_to(settings.root)))


def make_samples(settings: Settings, names: Sequence[str] = ()) -> None:
    """Make the image sets of the bundled sample concepts, all or those named, where they are not up to date.

    Raises:
        WorkFailed: DVC or the command in dvc.yaml failed, with what it said.
    """
    _run(settings, "repro", "--quiet", *(f"samples@{name}" for name in names))


def _run(settings: Settings, *arguments: str) -> None:
    variables = {**environment(settings), **os.environ}
    # the commands in dvc.yaml say `python`, and mean the one that runs this
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", *arguments]
    with _alone(settings):
        done = subprocess.run(command, cwd=settings.root, env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()).removeprefix("ERROR: ")
        raise WorkFailed(f"`dvc {' '.join(arguments)}` failed: {said or f'exit code {done.returncode}'}")


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Wait for other DVC commands of ours: two at a time in one project fail on DVC's own locks."""
    lock = settings.home / "dvc" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

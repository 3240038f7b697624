"""What is asked of DVC itself, in a process of its own.

Reading is not among it: tasks/concepts/image_sets.py reads DVC's files without DVC, which would take a second to start,
and whose lock lets no two readers in.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from model.errors import InputError, WorkFailed
from tasks.files.locks import file_lock
from tasks.project.git import git_problem
from tasks.project.settings import Settings, environment, shown_path

_WITHOUT_GIT = re.compile(r"^\s*no_scm\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)


def needs_git(settings: Settings) -> bool:
    """Whether DVC works in this project by git; `core.no_scm` says no."""
    for name in ("config", "config.local"):
        file = settings.root / ".dvc" / name
        if file.is_file() and _WITHOUT_GIT.search(file.read_text(encoding="utf-8", errors="replace")):
            return False
    return True


def run_dvc(settings: Settings, *arguments: str) -> None:
    """Run one DVC command in the project, after any other of ours.

    Raises:
        WorkFailed: it failed, with what it said.
    """
    _run(settings, f"dvc {' '.join(arguments)}", "dvc", *arguments)


def _run(settings: Settings, called: str, module: str, *arguments: str) -> None:
    variables = {**environment(settings), **os.environ}
    # the commands in dvc.yaml say `python`, and mean the one that runs this
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    # -P: the project's own folders are no Python packages, whatever they are called
    command = [sys.executable, "-P", "-m", module, *arguments]
    # two DVC commands at a time in one project fail on DVC's own locks, so ours wait for each other
    with file_lock(settings.home / "dvc" / "lock"):
        done = subprocess.run(command, cwd=settings.root, env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()).removeprefix("ERROR: ")
        raise WorkFailed(f"`{called}` failed: {said or f'exit code {done.returncode}'}")


def dvc_add(settings: Settings, folder: Path) -> None:
    """Put a folder into DVC's cache and write `<folder>.dvc`; does nothing to a folder that is there already.

    Raises:
        WorkFailed: DVC could not, with what it said.
    """
    run_dvc(settings, "add", shown_path(settings, folder))


def push_folder(settings: Settings, folder: Path) -> None:
    """Send a folder that DVC has on record to the default remote, by the settings' own S3.

    Raises:
        WorkFailed: DVC could not, with what it said; the same again sends what is missing.
    """
    run_dvc(settings, "push", f"{shown_path(settings, folder)}.dvc")


def dvc_import(settings: Settings, url: str, commit: str, folders: Mapping[str, Path]) -> None:
    """Import folders of a git repository at a commit, each to its place, and write `<place>.dvc` beside it.

    Raises:
        WorkFailed: DVC could not, with what it said; those before it are there.
    """
    wanted = [f"{folder}={shown_path(settings, place)}" for folder, place in folders.items()]
    _run(settings, f"dvc import {url} --rev {commit}", "tasks.dvc.import_program", url, commit, *wanted)


def make_samples(settings: Settings, names: Sequence[str]) -> None:
    """Make the images of bundled sample concepts where dvc.yaml says that they are not up to date.

    Raises:
        InputError: the project is in no git repository that DVC could use.
        WorkFailed: DVC, or the command in dvc.yaml, failed; with what it said.
    """
    if needs_git(settings) and (problem := git_problem(settings.root)):
        raise InputError("; ".join(problem))
    run_dvc(settings, "repro", *(f"samples@{name}" for name in names))

"""Where stages work before anything is published: a folder for each key, with a lock beside it."""

import fcntl
import shutil
from pathlib import Path

from tasks.keys import StagePlan
from tasks.settings import Settings

FILES, FINISHED = "files", "finished.json"
"""What a work folder holds: the artefact's files and, put last, what is to be said about the work."""


def work_folder(settings: Settings, plan: StagePlan) -> Path:
    """The stage's folder; it exists only while the stage is worked on, or is finished and not yet published."""
    return settings.home / "work" / f"{plan.stage}-{plan.key[:16]}"


def lock_of(folder: Path) -> Path:
    """The lock of a work folder."""
    return folder.with_name(f"{folder.name}.lock")


def sweep(settings: Settings) -> None:
    """Remove unfinished work that nobody works on: its process was killed, and its key may never be asked for again."""
    for folder in (settings.home / "work").glob("*/"):
        if (folder / FINISHED).exists():
            continue
        with lock_of(folder).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder)
            lock_of(folder).unlink()

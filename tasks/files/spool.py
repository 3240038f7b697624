"""Files that are being written, under names that say whose they are, so that those of dead processes can be swept."""

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.files.hashing import digest_of
from tasks.files.process import is_over, this_process

_LONGEST_KEPT = 24 * 3600  # seconds


@contextmanager
def spooled(folder: Path) -> Iterator[Path]:
    """A new name for a file in the folder, which is made; what is still there at the end is removed."""
    path = _new_name(folder)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def spooled_folder(folder: Path) -> Iterator[Path]:
    """A new folder in the folder, which is made; what is still there at the end is removed."""
    path = _new_name(folder)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep_unfinished(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left; of other machines what is a day old."""
    for path in folder.glob("*"):
        if not _is_left(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _new_name(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    process = this_process()
    return folder / f"{_short(process)}-{process['pid']}-{process['started']}-{uuid.uuid4().hex}"


def _is_left(path: Path) -> bool:
    """Whether nobody works on it any more. Another container's process ids say nothing here: of those only the age."""
    here = this_process()
    machine, *process = path.name.split("-")
    if machine == _short(here) and len(process) == 3:
        pid, started, _ = process
        return is_over({"machine": here["machine"], "pid": pid, "started": started})
    try:
        return time.time() - path.stat().st_mtime > _LONGEST_KEPT
    except FileNotFoundError:
        return False


def _short(process: Mapping[str, Any]) -> str:
    """Its machine, as a part of a file's name."""
    return digest_of([process["machine"]])[:16]

"""Files that are being written, under names that say whose they are, so that those of dead processes can be swept."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left."""
    for path in folder.glob(f"{socket.gethostname()}-*"):
        pid = path.name.removeprefix(f"{socket.gethostname()}-").split("-")[0]
        if not pid.isdecimal() or _alive(int(pid)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _new_name(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

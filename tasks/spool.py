"""Files that are being written, under names that say whose they are, so that those of dead processes can be swept."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def spooled(folder: Path) -> Iterator[Path]:
    """A new name in the folder, which is made; what is still there at the end is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left."""
    for path in folder.glob(f"{socket.gethostname()}-*"):
        pid = path.name.removeprefix(f"{socket.gethostname()}-").split("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

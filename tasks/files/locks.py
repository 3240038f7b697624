"""One process at a time, by a lock on a file that the system releases when its holder ends in whatever way."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(lock: Path, on_wait: Callable[[], None] = lambda: None, *, remove: bool = False) -> Iterator[None]:
    """Wait until no other process is in here with the same file; `on_wait` is called if one is.

    The file stays, unless `remove` says that it goes at the end; who waits for it then takes a new one.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(lock, file.fileno()):
                continue  # its holder has removed it; another process may already hold a new one
            try:
                yield
            finally:
                if remove:
                    lock.unlink(missing_ok=True)
            return


@contextmanager
def lock_if_free(lock: Path) -> Iterator[bool]:
    """Hold a lock that nobody holds, to tidy up behind a process that was killed; False if somebody holds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield _is_at(lock, file.fileno())


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False

"""One process at a time, by a lock on a file that the system releases when its holder ends in whatever way."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(lock: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no other process is in here with the same file; `on_wait` is called if one is. The file stays."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""One holder at a time of a name in S3, which has no locks: an object that its holder keeps renewing.

Whoever waits takes it over when it has not changed for a while *by the waiter's own clock*, so that no two machines
need the same time, or at once if its holder was a process of this machine that is no more. Every write is conditional:
of two that take it over one wins, and a holder that has lost it learns so at its next renewal.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tasks.files.process import is_over, this_process
from tasks.store.blobs import Record, StoreFailed


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """All in seconds."""

    renew: float = 10.0
    take_over: float = 45.0
    """How long a lease has not to change before a waiter takes it over."""
    look: float = 2.0
    """How often a waiter looks."""


class Documents(Protocol):
    """What a lease needs of a place."""

    def read(self, name: str) -> Record | None: ...

    def put_if(self, name: str, content: bytes, version: str | None) -> str | None:
        """Write if nothing is there (None) or that version is; the new version, or None where the condition failed."""

    def delete_if(self, name: str, version: str) -> None:
        """Remove it if it still has that version."""


@contextmanager
def lease(place: Documents, name: str, on_wait: Callable[[], None], times: LeaseTimes) -> Iterator["Lease"]:
    """Wait for the name, hold it inside, and free it at the end. Raises StoreFailed, before it is held only."""
    held = Lease(place, name, times)
    held.take(on_wait)
    try:
        yield held
    finally:
        held.free()


class Lease:
    """A name that is held, renewed by a thread of its own."""

    def __init__(self, place: Documents, name: str, times: LeaseTimes) -> None:
        self._place, self._name, self._times = place, name, times
        self._me = {"holder": uuid.uuid4().hex, **this_process()}
        self._beat = 0
        self._version = ""
        self._renewed = 0.0  # when the newest renewal was begun, by the monotonic clock
        self._taken_away = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name=f"lease {name[:40]}", daemon=True)

    def lost(self) -> bool:
        """Whether another may hold it by now."""
        return self._taken_away or time.monotonic() - self._renewed > self._times.take_over

    def take(self, on_wait: Callable[[], None]) -> None:
        """Wait until it is ours."""
        seen, since, told = "", 0.0, False
        while True:
            present = self._place.read(self._name)
            if present is None:
                if self._write(None):
                    break
                continue
            if present.version != seen:
                seen, since = present.version, time.monotonic()
            if (_is_dead(present.content) or time.monotonic() - since > self._times.take_over) and self._write(seen):
                break
            if not told:
                told = True
                on_wait()
            time.sleep(self._times.look)
        self._thread.start()

    def free(self) -> None:
        """Give it back, unless another has it. One that cannot be given back is taken over in time."""
        self._over.set()
        self._thread.join()
        # A removal that comes late must not hit the lease of whoever came next. Where the place compares before it
        # removes, it cannot; for places that do not, this is said first: nobody takes over what has just changed.
        with suppress(StoreFailed):
            if not self._taken_away and (freed := self._place.put_if(self._name, b"{}", self._version)):
                self._place.delete_if(self._name, freed)

    def _keep_renewing(self) -> None:
        while not self._over.wait(self._times.renew):
            with suppress(StoreFailed):  # tried again; `lost` tells when it has been too long
                if not self._write(self._version):
                    self._taken_away = True
                    return

    def _write(self, version: str | None) -> bool:
        begun, self._beat = time.monotonic(), self._beat + 1
        content = json.dumps({**self._me, "beat": self._beat}).encode()
        written = self._place.put_if(self._name, content, version)
        if written is None:
            return False
        self._version, self._renewed = written, begun
        return True


def _is_dead(content: bytes) -> bool:
    """Whether the holder is known to be no more."""
    try:
        return is_over(json.loads(content))
    except ValueError:
        return False  # being freed, or no lease of ours: it is taken over in time

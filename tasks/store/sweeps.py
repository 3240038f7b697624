"""A store is in use while it is cleared up: how those who clear up and those who publish keep out of each other's way.

Who clears up first says so, by a new version of one record, and only then looks what there is. Whoever publishes, or
begins to use an artefact, renews its age first; if a sweep was on at any moment of that, it may have looked before and
removes afterwards, so the work is done again once the sweep is over. What was renewed before a sweep began is too young
for it. No clock of two machines is compared, and a sweep whose process died stops nobody.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tasks.store.blobs import Blobs, Hold

_RECORD = "sweeps/last.json"
_LOCK = "sweep"
T = TypeVar("T")


class Sweeps:
    """The sweeps of one store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @contextmanager
    def sweep(self, on_wait: Callable[[], None]) -> Iterator[Hold]:
        """Inside, unneeded things may be removed, as long as the hold is not lost. One sweep at a time."""
        with self._blobs.alone(_LOCK, on_wait) as hold:
            self._say(over=False)
            try:
                yield hold
            finally:
                self._say(over=True)

    def apart(self, action: Callable[[], T]) -> T:
        """Do something that no sweep may miss: again, if one was on meanwhile."""
        while True:
            before = self._none_is_on()
            done = action()
            if self._version() == before:
                return done

    def _none_is_on(self) -> str:
        """Wait until no sweep is on; the version of the record that was read before."""
        record = self._blobs.read(_RECORD)
        if record is None:
            return ""
        if not _is_over(record.content):
            with self._blobs.alone(_LOCK, lambda: None):
                pass  # it has ended, or its process has
        return record.version

    def _version(self) -> str:
        record = self._blobs.read(_RECORD)
        return record.version if record else ""

    def _say(self, *, over: bool) -> None:
        self._blobs.write(_RECORD, json.dumps({"over": over, "version": uuid.uuid4().hex}).encode())


def _is_over(content: bytes) -> bool:
    try:
        return bool(json.loads(content)["over"])
    except (ValueError, TypeError, KeyError):
        return False  # whoever sweeps holds the lock, whatever became of the record

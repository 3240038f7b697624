"""The end of the process where a thread still waits for something that may never answer."""

import os
import sys
import threading

_FLUSH_SECONDS = 2.0
_abandoned: list[threading.Thread] = []


def abandon(thread: threading.Thread) -> None:
    """Say of a daemon thread that nobody waits for it any more."""
    _abandoned.append(thread)


def leave(code: int) -> None:
    """End this process at once if an abandoned thread still runs; else nothing, and the usual end follows.

    The interpreter's own end takes its streams and libraries away under such a thread, and aborts (SIGABRT) where that
    one holds a lock.
    """
    if any(thread.is_alive() for thread in _abandoned):
        # by others, for whom the lock of a stream may be held for good too
        flushes = [threading.Thread(target=stream.flush, daemon=True) for stream in (sys.stdout, sys.stderr)]
        for flush in flushes:
            flush.start()
        for flush in flushes:
            flush.join(_FLUSH_SECONDS)
        os._exit(code)

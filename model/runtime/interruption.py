"""Signals that end a program, put off over a stretch of work that would be lost if it stopped half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM wait; the first that came is delivered on the way out, to whoever handles it outside.

    Only for what takes a few seconds at most. Python runs handlers in the main thread alone, so in others this changes
    nothing: no signal stops them anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    ours = {number: handler for number, handler in before.items() if handler is not None}  # else it is not Python's
    try:
        for number in ours:
            signal.signal(number, lambda caught, frame: waiting.append(caught))
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])

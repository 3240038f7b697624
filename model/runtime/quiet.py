"""Loading without the libraries' progress bars and advice on the terminal."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LIBRARIES = ("diffusers.utils.logging", "transformers.utils.logging")


_lock = threading.Lock()
_inside = 0
_afterwards: dict[str, Callable[[], None]] = {}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, those of diffusers and transformers that are loaded show errors only; afterwards they are as before.

    Threads may be inside together: the last that leaves puts back what the first has found.
    """
    global _inside
    with _lock:
        for name in _LIBRARIES:
            if name in sys.modules and name not in _afterwards:
                _afterwards[name] = _quieten(sys.modules[name])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            while not _inside and _afterwards:
                _afterwards.popitem()[1]()


def _quieten(library: Any) -> Callable[[], None]:
    """Make a library show errors only; returns what undoes it."""
    verbosity, had_progress_bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()

    def put_back() -> None:
        library.set_verbosity(verbosity)
        if had_progress_bar:
            library.enable_progress_bar()

    return put_back


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Inside, the hub's client shows errors only; afterwards it is as before."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    before, had_progress_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_progress_bars:
            enable_progress_bars()

"""Loading without the libraries' progress bars and advice on the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("diffusers.utils.logging", "transformers.utils.logging")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, those of diffusers and transformers that are loaded show errors only; afterwards they are as before."""
    libraries = [sys.modules[name] for name in _LIBRARIES if name in sys.modules]
    before = [(library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, verbosity, had_progress_bar in before:
            library.set_verbosity(verbosity)
            if had_progress_bar:
                library.enable_progress_bar()


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

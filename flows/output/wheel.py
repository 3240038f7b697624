"""A sign of life on a terminal while a command has said nothing yet: models and registries take seconds to load."""

import threading

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

AFTER_SECONDS = 0.7
"""A command that answers sooner shows none, so that nothing flickers."""


class Wheel:
    """Turns from a moment after its start until it is stopped; on anything but a terminal nothing is written."""

    def __init__(self, console: Console, said: str) -> None:
        self._console, self._said = console, said
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._over = not console.is_terminal
        self._timer = threading.Timer(AFTER_SECONDS, self._turn)
        self._timer.daemon = True
        if not self._over:
            self._timer.start()

    def stop(self) -> None:
        """Take it away, or see that it never comes."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _turn(self) -> None:
        with self._lock:
            if self._over:
                return
            self._live = Live(
                Spinner("dots", Text(self._said)),
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

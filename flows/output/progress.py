"""How far the work is: bars on a terminal, plain lines elsewhere, and progress artifacts on Prefect's pages."""

import math
import re
import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.spinner import Spinner
from rich.text import Text

from tasks.execution.reporting import Reporter

LINE_SECONDS = 10.0
ARTIFACT_SECONDS = 3.0
_GAP_SECONDS = 0.1
_BURST_SECONDS = 3.0


class Pace:
    """How long a piece of work will still take, by its steady speed.

    What is finished without a gap of a tenth of a second is a burst, such as the pictures of one batch; steps that are
    quicker than that are bursts of three seconds. The first burst, with all that is loaded and compiled before it, does
    not count; one that has just begun is taken to become as large as the one before.
    """

    def __init__(self, total: int, clock: Callable[[], float]) -> None:
        self._total = total
        self._clock = clock
        self._first: tuple[float, int] | None = None  # when the first burst began, and how much was done by its end
        self._burst = (-math.inf, 0)  # when this burst began, and how much was done before it
        self._burst_size = 0  # of the burst before
        self._done = 0
        self._last = -math.inf  # when something was finished

    def advance(self, done: int) -> None:
        """`done` units are finished by now."""
        now = self._clock()
        if now - self._last >= _GAP_SECONDS or now - self._burst[0] >= _BURST_SECONDS:
            self._burst_size = self._done - self._burst[1]
            self._burst = (now, self._done)
        self._done, self._last = done, now
        if self._first is None or self._burst[0] == self._first[0]:
            self._first = (self._burst[0], done)

    def seconds_left(self) -> float | None:
        """None until there is a speed to tell it from."""
        began, before = self._burst
        if self._first is None or began == self._first[0]:
            return None
        done = min(max(self._done, before + self._burst_size), self._total)
        return (began - self._first[0]) / (done - self._first[1]) * (self._total - done)

    def __str__(self) -> str:
        seconds = self.seconds_left()
        return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02} left"


class TerminalReporter:
    """Bars where the console is a terminal; elsewhere a line when work begins, and one about every ten seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
        )
        self._bars = Progress(*columns, console=console, transient=True)
        self._bar: TaskID | None = None
        self._title, self._of = "", ""
        self._pace = Pace(0, clock)
        self._next_line = 0.0
        self._spinner: Live | None = None

    def prepare(self, what: str) -> None:
        """A turning wheel on a terminal, which the next message takes away; nothing elsewhere."""
        if not self._console.is_terminal:
            return
        wheel = Spinner("dots", Text(f"{what} ..."))
        if self._spinner is None:
            self._spinner = Live(wheel, console=self._console, transient=True, refresh_per_second=12)
            self._spinner.start(refresh=True)
        else:
            self._spinner.update(wheel, refresh=True)

    def _prepared(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def begin(self, title: str, total: int, unit: str) -> None:
        self._prepared()
        self._title, self._of, self._pace = title, f"of {total} {unit}", Pace(total, self._clock)
        if self._console.is_terminal:
            self._bar = self._bars.add_task(title, total=total, left="", note="")
            self._bars.start()
        else:
            self._next_line = self._clock() + LINE_SECONDS
            self.tell(f"{title}: {total} {unit}")

    def advance(self, done: int, note: str = "") -> None:
        self._pace.advance(done)
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, left=str(self._pace), note=note)
        elif self._clock() >= self._next_line:
            self._next_line = self._clock() + LINE_SECONDS
            self.tell(f"{self._title}: {_joined(f'{done} {self._of}', note, str(self._pace))}")

    def end(self) -> None:
        self._prepared()
        if self._bar is not None:
            self._bars.stop()  # draws once more, so that even the shortest work is seen
            self._bars.remove_task(self._bar)
            self._bar = None

    def tell(self, message: str) -> None:
        self._prepared()
        self._console.print(Text(message), soft_wrap=True)

    def warn(self, message: str) -> None:
        self._prepared()
        self._console.print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)


class PageReporter:
    """A progress artifact on Prefect's pages for each piece of work; to be used inside a task run.

    Work never ends because its progress cannot be shown: the first failure is told to `warn`, and from then on the
    pages are left alone, so that an API which is gone does not hold up every step.
    """

    def __init__(self, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._warn = warn
        self._failed = False
        self._clock = clock
        self._artifact: UUID | None = None
        self._total, self._words = 0, ""
        self._pace = Pace(0, clock)
        self._next_write = 0.0

    def prepare(self, what: str) -> None:
        """The pages show what is counted."""

    def begin(self, title: str, total: int, unit: str) -> None:
        self._total, self._words, self._pace = total, f"{title}: {total} {unit}", Pace(total, self._clock)
        self._next_write = self._clock() + ARTIFACT_SECONDS
        key = re.sub("[^a-z0-9]+", "-", title)  # Prefect knows no other characters
        self._on_pages(lambda: self._create(key))

    def advance(self, done: int, note: str = "") -> None:
        self._pace.advance(done)
        artifact = self._artifact
        if artifact is None or (done < self._total and self._clock() < self._next_write):
            return
        self._next_write = self._clock() + ARTIFACT_SECONDS
        words = _joined(self._words, note, str(self._pace) if done < self._total else "")
        self._on_pages(lambda: self._update(artifact, 100 * done / self._total, words))

    def end(self) -> None:
        self._artifact = None

    def _create(self, key: str) -> None:
        from prefect.artifacts import create_progress_artifact

        self._artifact = cast(UUID, create_progress_artifact(0.0, key=key, description=self._words))

    def _update(self, artifact: UUID, percent: float, words: str) -> None:
        from prefect.artifacts import update_progress_artifact

        update_progress_artifact(artifact, percent, description=words)

    def _on_pages(self, show: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            show()
        except Exception as error:  # noqa: BLE001 - whatever it is, the work behind the progress goes on
            self._failed = True
            self._artifact = None
            self._warn(f"Prefect's pages show no more progress: {type(error).__name__}: {error}; the work goes on")

    def tell(self, message: str) -> None:
        """The pages show what is done."""

    def warn(self, message: str) -> None:
        """Warnings are in the log of the run."""


class Both:
    """Tells two reporters."""

    def __init__(self, one: Reporter, other: Reporter) -> None:
        self._reporters = (one, other)

    def prepare(self, what: str) -> None:
        for reporter in self._reporters:
            reporter.prepare(what)

    def begin(self, title: str, total: int, unit: str) -> None:
        for reporter in self._reporters:
            reporter.begin(title, total, unit)

    def advance(self, done: int, note: str = "") -> None:
        for reporter in self._reporters:
            reporter.advance(done, note)

    def end(self) -> None:
        for reporter in self._reporters:
            reporter.end()

    def tell(self, message: str) -> None:
        for reporter in self._reporters:
            reporter.tell(message)

    def warn(self, message: str) -> None:
        for reporter in self._reporters:
            reporter.warn(message)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)

"""A note of how far a training is that the booth started: written by the program that trains, read by the pages."""

import json
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.output.progress import Pace
from tasks.files.process import is_over

WRITE_SECONDS = 0.5
MOST_LINES = 30
State = Literal["waiting", "training", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """The piece of work that is at hand."""

    title: str
    done: int
    total: int
    unit: str
    left: str = ""
    """How long it will still take, in words; empty where that cannot be told."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingNote:
    """One training."""

    concept: str
    state: State
    said: str = ""
    """What came of it, or why it failed."""
    lines: tuple[str, ...] = ()
    """What is done, as the command line tells it."""
    work: Work | None = None
    process: dict[str, Any] = field(default_factory=dict)
    """Who trains."""
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def is_running(self) -> bool:
        """Whether it waits or trains."""
        return self.state in ("waiting", "training")


class NoteReporter:
    """Keeps a note in step with the work; a note that cannot be written stops no training."""

    def __init__(self, file: Path, note: TrainingNote) -> None:
        self._file, self._note = file, note
        self._pace, self._written = Pace(0, time.monotonic), 0.0
        self.change()

    def change(self, **values: Any) -> None:
        """Take up other values and write them."""
        self._note = replace(self._note, **values)
        write_note(self._file, self._note)
        self._written = time.monotonic()

    def prepare(self, what: str) -> None:
        self.change(work=Work(title=what, done=0, total=0, unit=""))

    def begin(self, title: str, total: int, unit: str) -> None:
        self._pace = Pace(total, time.monotonic)
        self.change(work=Work(title=title, done=0, total=total, unit=unit))

    def advance(self, done: int, note: str = "") -> None:
        self._pace.advance(done)
        work = self._note.work
        if work and time.monotonic() - self._written >= WRITE_SECONDS:
            self.change(work=replace(work, done=done, note=note, left=str(self._pace)))

    def end(self) -> None:
        self.change(work=None)

    def tell(self, message: str) -> None:
        self.change(lines=(*self._note.lines, message)[-MOST_LINES:])

    def warn(self, message: str) -> None:
        self.tell(f"warning: {message}")


def write_note(file: Path, note: TrainingNote) -> None:
    """Put the note where the pages look; it is there whole or not at all."""
    spool = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        spool.write_text(json.dumps(asdict(note)), encoding="utf-8")
        spool.replace(file)
    except OSError:  # a full disk is for the training to tell
        return


def read_note(file: Path) -> TrainingNote | None:
    """The note; None where there is none. One whose program is no more, without having said so, has failed."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        work = values.pop("work")
        note = TrainingNote(**{**values, "lines": tuple(values["lines"]), "work": Work(**work) if work else None})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if note.is_running and is_over(note.process):
        said = "the process ended without a word (out of memory, or killed); train again: it carries on from there"
        return replace(note, state="failed", said=said, work=None)
    return note

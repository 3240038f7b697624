"""What was found about one thing that the work needs, and looking at several things at once."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flows.output.leaving import abandon
from model.errors import InputError, WorkFailed

Probe = Callable[[], Iterable["Diagnosis"]]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found about one thing that the work needs."""

    what: str
    state: Literal["ok", "note", "problem"]
    """A `problem` stops the work: something is missing, wrong or silent. A `note` does not."""
    found: str
    way_out: str = ""
    alike: str = ""
    """What many findings of one kind have in common: "concepts in git's newest commit"; they are shown as one row."""


def diagnosed_by(what: str, look: Probe) -> Iterator[Diagnosis]:
    """What `look` finds, or its problems as diagnoses."""
    try:
        yield from look()
    except (InputError, WorkFailed) as error:
        yield from problems(what, error)


def problems(what: str, error: InputError | WorkFailed) -> Iterator[Diagnosis]:
    """An error as diagnoses, one a problem."""
    for problem in error.problems if isinstance(error, InputError) else [str(error)]:
        yield Diagnosis(what=what, state="problem", found=problem)


def diagnosed_at_once(looks: Mapping[str, Probe], seconds: float) -> Iterator[Diagnosis]:
    """What all of them find, in their order; who is not done in time is said not to be, and holds up nobody."""
    heard: dict[str, list[Diagnosis]] = {what: [] for what in looks}

    def listen(what: str, look: Probe) -> None:
        try:
            for diagnosis in diagnosed_by(what, look):
                heard[what].append(diagnosis)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
            heard[what].append(Diagnosis(what=what, state="problem", found=f"{type(error).__name__}: {error}"))

    # Daemons: one that hangs on a dead address must not hold up the end of the command either.
    threads = {what: threading.Thread(target=listen, args=(what, look), daemon=True) for what, look in looks.items()}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + seconds
    for what, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        silent = thread.is_alive()
        yield from tuple(heard[what])
        if silent:
            abandon(thread)
            yield Diagnosis(
                what=what,
                state="problem",
                found=f"no {'further ' if heard[what] else ''}answer within {seconds:g} seconds",
                way_out="check its address, and what lies on the way there; --within gives it more time",
            )

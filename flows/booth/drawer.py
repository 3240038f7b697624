"""The queue of drawings: one process draws for all visitors, one order after the other."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from model.errors import InputError, WorkFailed
from tasks.booth.orders import Order
from tasks.project.settings import Settings

MOST_WAITING = 20
"""Of all visitors."""
MOST_OF_ONE = 2
"""Orders of one visitor that are not done yet."""
MOST_REMEMBERED = 200
"""Orders that are over; of older ones their folders tell."""
STATE_FILE = "state.json"
State = Literal["waiting", "drawing", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class DrawingState:
    """How far one order is."""

    state: State
    done: int = 0
    """Pictures, of both sides."""
    note: str = ""
    """What is being prepared."""
    problems: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in ("done", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class _Job:
    visitor: str
    folder: Path
    order: Order


class Drawer:
    """Takes orders, draws them by a child process, and knows how far each is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        """Not done yet, in their order; the first is the one at hand."""
        self._states: dict[str, DrawingState] = {}
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="drawer", daemon=True)
        self._thread.start()

    def take(self, identity: str, visitor: str, folder: Path, order: Order) -> None:
        """Put an order into the queue.

        Raises:
            InputError: the visitor has orders enough that are not done yet.
            WorkFailed: the queue is full.
        """
        with self._changed:
            own = sum(job.visitor == visitor for job in self._jobs.values())
            if own >= MOST_OF_ONE:
                raise InputError(f"{own} of your drawings are not done yet; wait for one of them, or stop it")
            if len(self._jobs) >= MOST_WAITING:
                raise WorkFailed(f"{len(self._jobs)} drawings are waiting already; try again in a moment")
            self._jobs[identity] = _Job(visitor=visitor, folder=folder, order=order)
            self._states[identity] = DrawingState(state="waiting")
            self._changed.notify_all()

    def state(self, identity: str, folder: Path) -> DrawingState:
        """How far an order is; one that a booth before this one did not finish was stopped."""
        with self._changed:
            if known := self._states.get(identity):
                return known
        try:
            values: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            return DrawingState(**{**values, "problems": tuple(values["problems"])})
        except (OSError, ValueError, TypeError, KeyError):
            return DrawingState(state="stopped")

    def ahead(self, identity: str) -> int:
        """How many orders come before this one."""
        with self._changed:
            return list(self._jobs).index(identity) if identity in self._jobs else 0

    @property
    def process_id(self) -> int | None:
        """Of the program that draws; None where none runs."""
        with self._changed:
            return self._process.pid if self._process else None

    def stop(self, identity: str) -> None:
        """Give an order up; what is drawn of it stays."""
        with self._changed:
            if identity not in self._jobs:
                return
            at_hand = next(iter(self._jobs)) == identity
            self._finish(identity, replace(self._states[identity], state="stopped", note=""))
            if at_hand:
                self._end_process()

    def close(self) -> None:
        """Draw no more, and end the process."""
        with self._changed:
            self._closed = True
            self._end_process()
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._jobs)
                if self._closed:
                    return
                identity, job = next(iter(self._jobs.items()))
                self._states[identity] = DrawingState(state="drawing", note="loading the model")
                try:
                    asked = self._asked()
                    line = {"id": identity, "folder": str(job.folder), "order": job.order.to_json()}
                    asked.write(json.dumps(line) + "\n")
                    asked.flush()
                    answers = self._process.stdout if self._process else None
                except OSError as error:
                    said = (f"the program that draws does not start: {error}",)
                    self._finish(identity, DrawingState(state="failed", problems=said))
                    continue
            self._follow(identity, job, answers)

    def _follow(self, identity: str, job: _Job, answers: IO[str] | None) -> None:
        """Take what the program says of an order until it is over, or the program is."""
        for line in answers or ():
            said = json.loads(line)
            with self._changed:
                state = self._states[identity]
                if said["id"] != identity or state.is_over:  # an order that was stopped at its very end
                    return
                match said["event"]:
                    case "prepare":
                        state = replace(state, note=said["note"])
                    case "begin":
                        state = replace(state, note="")
                    case "advance":
                        state = replace(state, done=said["side"] * job.order.count + said["done"])
                    case "done":
                        self._finish(identity, replace(state, state="done", note=""))
                        return
                    case "failed":
                        failed = replace(state, state="failed", problems=tuple(said["problems"]), note="")
                        self._finish(identity, failed)
                        return
                self._states[identity] = state
        if answers:
            answers.close()
        with self._changed:
            if not self._states[identity].is_over:
                said = ("the program that draws has ended (out of memory?); the next drawing starts it anew",)
                self._finish(identity, DrawingState(state="failed", problems=said))
            self._end_process()

    def _finish(self, identity: str, state: DrawingState) -> None:
        job = self._jobs.pop(identity, None)
        self._states[identity] = state
        for old in [known for known in self._states if known not in self._jobs][:-MOST_REMEMBERED]:
            del self._states[old]
        if job is not None:
            with contextlib.suppress(OSError):  # the oldest drawings make room, also while somebody draws
                (job.folder / STATE_FILE).write_text(json.dumps(asdict(state)), encoding="utf-8")

    def _asked(self) -> IO[str]:
        """Where orders are written to; the process is started where there is none."""
        if self._process is None or self._process.poll() is not None:
            log = self._settings.home / "booth" / "drawing.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "tasks.booth.draw_program"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    env={**os.environ, "CONCEPTBOOTH_ROOT": str(self._settings.root)},
                    text=True,
                    start_new_session=True,
                )
        assert self._process.stdin is not None
        return self._process.stdin

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.kill()  # whoever waits for its answers finds their end
            self._process.wait()
            with contextlib.suppress(OSError):
                if self._process.stdin:
                    self._process.stdin.close()
            self._process = None

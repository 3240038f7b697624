"""The trainings that the booth starts: each a process of its own, known by its note."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from flows.booth.training_note import TrainingNote, read_note, write_note
from tasks.files.process import this_process
from tasks.project.settings import Settings


class Trainings:
    """Those of this project, also the ones that another booth before this one started."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.home / "booth" / "trainings"
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> TrainingNote:
        """Train a concept, unless that is going on already."""
        with self._lock:
            before = self.of(name)
            if before and before.is_running:
                return before
            # Until the program writes its own, which takes its imports' time, the note is this process's.
            note = TrainingNote(concept=name, state="waiting", process=this_process())
            write_note(self._note(name), note)
            with (self._folder / f"{name}.log").open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-P", "-m", "flows.booth.training_program", name, str(self._note(name))],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "CONCEPTBOOTH_ROOT": str(self._settings.root)},
                    start_new_session=True,
                )
            return note

    def of(self, name: str) -> TrainingNote | None:
        """How far the concept's last training is; None where the booth never started one."""
        process = self._processes.get(name)
        ended = process is not None and process.poll() is not None  # also takes note of its end
        note = read_note(self._note(name))
        if note and note.is_running and ended:
            said = f"the training ended before it began; {self._folder / f'{name}.log'} says why"
            return TrainingNote(concept=name, state="failed", said=said, lines=note.lines, began=note.began)
        return note

    def all(self) -> dict[str, TrainingNote]:
        """Of every concept that the booth trained, by name."""
        notes = {file.stem: self.of(file.stem) for file in sorted(self._folder.glob("*.json"))}
        return {name: note for name, note in notes.items() if note}

    def _note(self, name: str) -> Path:
        return self._folder / f"{name}.json"

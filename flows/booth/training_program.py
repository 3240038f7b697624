"""The program that trains one concept for the booth, as `conceptbooth train` does, and keeps a note of how far it is.

`python -m flows.booth.training_program NAME NOTE` runs in a session of its own: neither a closed page nor the end of
the booth stops it. One trains at a time; another waits for it.
"""

import contextlib
import sys
from pathlib import Path

from flows.booth.training_note import NoteReporter, TrainingNote, write_note
from flows.output.errors import error_lines
from flows.training.train import run_training
from tasks.files.locks import file_lock
from tasks.files.process import this_process
from tasks.project.settings import apply_environment, load_settings


def train(name: str, note: Path) -> int:
    """Train the concept and say in the note what became of it; the exit code. Never raises for it."""
    settings = load_settings()
    apply_environment(settings)
    reporter = NoteReporter(note, TrainingNote(concept=name, state="waiting", process=this_process()))
    try:
        with file_lock(settings.home / "booth" / "training.lock"):
            reporter.change(state="training")
            outcome = run_training(settings, [name], also_told=reporter)[0]
        error = outcome.error
        said = f"version {outcome.version}" if outcome.version else ""
        if said and not outcome.version_created:
            said += ", as before: nothing had changed"
    except Exception as failure:  # noqa: BLE001 - whatever it is, the page tells of it
        error, said = "; ".join(error_lines(failure, settings, name)), ""
    reporter.change(state="failed" if error else "done", said=error or said, work=None)
    return 1 if error else 0


def main() -> None:
    """Train what the command line names."""
    name, note = sys.argv[1], Path(sys.argv[2])
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(train(name, note))
    # interrupted: what is finished is kept
    write_note(note, TrainingNote(concept=name, state="failed", said="stopped; the next training carries on from here"))
    sys.exit(130)


if __name__ == "__main__":
    main()

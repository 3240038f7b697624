"""How long the command line takes to start: `python -m benchmarks.start`.

Commands that a person waits for, in a project of a few trained concepts, whole: from Python's start to its end. They
take turns with `python -c pass`, which nothing written in Python can beat, so that other work on the machine troubles
all of them alike. Seconds are medians, by the clock and of the processor; `over_python` is what the command adds to
Python's own by the processor, and `ratio` Python over the command, with its range over the turns.

    python -m benchmarks.start --json start.json
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plan import environment, processor_seconds
from benchmarks.record import write_record
from benchmarks.synthetic import make_project, train_everything

CONCEPTS = 3
_WIDTH = 100
PYTHON = "python -c pass"
_ASKED = ("--version", "--help", "train --help", "plan", "list", "releases", "gc --dry-run")
COMMANDS: dict[str, Sequence[str]] = {PYTHON: ()} | {f"conceptbooth {asked}": asked.split() for asked in _ASKED}
"""The arguments of `conceptbooth`, by the whole command."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One command."""

    command: str
    repeats: int
    seconds: float
    """By the clock."""
    processor_seconds: float
    over_python: float
    ratio: float
    ratio_low: float
    ratio_high: float


def main() -> None:
    """Build, let the commands take turns, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns after the first, which does not count")
    parser.add_argument("--commands", nargs="+", choices=[*COMMANDS], default=[*COMMANDS], metavar="COMMAND")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_project(Path(folder), CONCEPTS)
        train_everything(settings)
        rows = measured(settings.root, dict.fromkeys([PYTHON, *options.commands]), options.repeats)
    table = Table("command", "clock, s", "processor, s", "over Python, s", "ratio", "range")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right" if column is not table.columns[0] else "left"
    for row in rows:
        seconds = f"{row.seconds:.2f}", f"{row.processor_seconds:.2f}", f"{row.over_python:.2f}"
        spread = f"{row.ratio_low:.3f} to {row.ratio_high:.3f}"
        table.add_row(row.command, *seconds, f"{row.ratio:.3f}", spread)
    Console(width=max(Console().width, _WIDTH)).print(table)
    if options.json:
        write_record(options.json, "start", [*map(asdict, rows)], concepts=CONCEPTS)


def measured(project: Path, commands: dict[str, None], repeats: int) -> list[Row]:
    """Each command, in turns. Exits if one fails."""
    took: dict[str, list[tuple[float, float]]] = {command: [] for command in commands}
    for turn in range(repeats + 1):
        for command in commands:
            seconds = _timed(project, COMMANDS[command])
            if turn:  # the first also writes bytecode and reads the disk
                took[command].append(seconds)
    python = [processor for _, processor in took[PYTHON]]
    rows = []
    for command, turns in took.items():
        clock, processor = (statistics.median(column) for column in zip(*turns, strict=True))
        ratios = [own / whole for own, (_, whole) in zip(python, turns, strict=True)]
        rows.append(
            Row(
                command=command,
                repeats=repeats,
                seconds=clock,
                processor_seconds=processor,
                over_python=processor - statistics.median(python),
                ratio=statistics.median(ratios),
                ratio_low=min(ratios),
                ratio_high=max(ratios),
            )
        )
    return rows


def _timed(project: Path, arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    code = "from flows.cli.app import main; main()" if arguments else "pass"
    started, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=project, env=environment(), capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr or done.stdout}")
    return seconds, processor_seconds() - before


if __name__ == "__main__":
    main()

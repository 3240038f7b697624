"""A whole training by phase: `python -m benchmarks.concept`.

The whole command `conceptbooth train` is run in a project of its own with one sample concept, from Python's start to
its end, and of each of its tasks it is said how long it took and how long the base's UNet worked in it, forward and
backward. What is left is not arithmetic of the UNet: loading, encoding, scoring, files, Prefect, MLflow. The aim is
that this stays under 15 % of the whole.

On a CPU one thread works, and the shares are of the processor's seconds, so that other work on the machine says little;
what Prefect's API takes beside the command is a row of its own. On a GPU they are of the clock's.

    python -m benchmarks.concept --json concept.json
    python -m benchmarks.concept --project FOLDER --name ginger-cat      # your own project's, not trained yet
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.plan import environment, processor_seconds
from benchmarks.record import write_record
from benchmarks.synthetic import make_project

_WIDTH = 100
_WATCHED = "from benchmarks.concept import watched; watched({record!r})"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From the end of one task to the end of the next."""

    phase: str
    seconds: float
    """By the clock."""
    counted_seconds: float
    """Of the processor where one thread of a CPU works, else by the clock."""
    unet_seconds: float = 0.0
    """Of those that count the UNet's, forward and backward."""

    @property
    def other_seconds(self) -> float:
        """The rest of them."""
        return self.counted_seconds - self.unet_seconds


def main() -> None:
    """Make the project, train, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="default: one with this checkout's settings, made and removed")
    parser.add_argument("--name", default="plum-turtle", help="of the concept")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = options.project or sample_project(Path(folder), options.name)
        phases = trained(project, options.name)
    show(phases)
    if options.json:
        rows = [asdict(phase) | {"other_seconds": phase.other_seconds} for phase in phases]
        write_record(options.json, "concept", rows)


def sample_project(root: Path, name: str) -> Path:
    """A project with this checkout's settings and one of the sample concepts."""
    from toyworld.samples import concept, image_set

    make_project(root, 0)
    folder = root / "data" / "concepts" / name
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(image_set(name)):
        image.save(folder / "images" / f"{number:02}.png")
    sample = concept(name)
    facts = {part: getattr(sample, part) for part in ("super_category", "licence", "source", "consent")}
    (folder / "concept.yaml").write_text(yaml.safe_dump(facts))
    return root


def trained(project: Path, name: str) -> list[Phase]:
    """Train a concept by the command; its phases. Exits if a task was not done but found done."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        started, before = time.monotonic(), processor_seconds()  # all processes of a machine see the same clock
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED.format(record=str(record)), "train", name, "--json"],
            cwd=project,
            env=environment() | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        ended, processor = time.monotonic(), processor_seconds() - before
        if done.returncode:
            sys.exit(done.stderr or done.stdout)
        found = json.loads(record.read_text()) if record.is_file() else None
    if not found or any(task["state"] == "cached" for task in found["tasks"]):
        sys.exit(f"{name}: trained already, whole or in part, so its training cannot be measured")
    tasks, spans, by_clock = found["tasks"], found["unet"], found["by_clock"]
    beginning = {"name": "", "ended": started, "counted": started if by_clock else 0.0}
    end = {"name": "after the last", "ended": ended, "counted": ended if by_clock else found["counted"]}
    phases = [
        Phase(
            phase=f"start, {mark['name']}" if earlier is beginning else mark["name"],
            seconds=mark["ended"] - earlier["ended"],
            counted_seconds=mark["counted"] - earlier["counted"],
            unet_seconds=sum(e - b for b, e in spans if earlier["counted"] <= b and e <= mark["counted"]),
        )
        for earlier, mark in itertools.pairwise([beginning, *tasks, end])
    ]
    if not by_clock:
        beside = processor - sum(phase.counted_seconds for phase in phases)
        phases.append(Phase(phase="Prefect's API, beside", seconds=0.0, counted_seconds=beside))
    return phases


def watched(record: str) -> None:
    """The command line, which leaves in the file `record` what its tasks and the UNet took; of a process of its own."""
    from flows.cli.app import main as command_line
    from flows.training.prepared_training import PreparedTraining

    tasks: list[dict[str, Any]] = []
    spans: list[tuple[float, float]] = []
    note_task = PreparedTraining.note_task

    def noted(self: PreparedTraining, done: Any) -> None:
        if not tasks:  # the images are prepared; only now, so that torch is not there sooner than usual
            _time_unet(spans)
        tasks.append(asdict(done) | {"ended": time.monotonic(), "counted": _now()})
        note_task(self, done)

    PreparedTraining.note_task = noted  # type: ignore[method-assign]
    with suppress(SystemExit):
        command_line()
    if tasks:
        facts = {"tasks": tasks, "unet": spans, "counted": _now(), "by_clock": _gpu()}
        Path(record).write_text(json.dumps(facts))


def _now() -> float:
    """Seconds that count: of this process on a CPU, where it has one thread; by the clock that does not jump else."""
    if not _gpu():
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.monotonic()


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _time_unet(spans: list[tuple[float, float]]) -> None:
    """Have every pass through a UNet leave when it began and ended."""
    import torch
    from diffusers import UNet2DConditionModel

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = _now()
            result = function(*arguments, **options)
            spans.append((began, _now()))
            return result

        return call

    patched: Any = UNet2DConditionModel
    patched.forward = timed(patched.forward)
    patched = torch.Tensor
    patched.backward = timed(patched.backward)


def show(phases: Sequence[Phase]) -> None:
    """Print the table."""
    counted, unet = (sum(getattr(each, part) for each in phases) for part in ("counted_seconds", "unet_seconds"))
    whole = Phase(
        phase="whole", seconds=sum(each.seconds for each in phases), counted_seconds=counted, unet_seconds=unet
    )
    table = Table("phase", "clock, s", "counted, s", "UNet, s", "other, s", "other, of the whole")
    for column in table.columns[1:]:
        column.justify = "right"
    for phase in [*phases, whole]:
        cells = (f"{value:.1f}" for value in (phase.seconds, phase.counted_seconds, phase.unet_seconds))
        share = f"{phase.other_seconds / counted:.1%}"
        table.add_row(phase.phase, *cells, f"{phase.other_seconds:.1f}", share, end_section=phase is phases[-1])
    table.columns[0].no_wrap = True
    Console(width=max(Console().width, _WIDTH)).print(table)


if __name__ == "__main__":
    main()

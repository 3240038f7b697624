"""How long `conceptbooth plan` takes where everything is up to date: `python -m benchmarks.plan [10 100 1000]`.

The whole command is timed, from Python's start to its end, beside hashing all images once in the same minute, which is
the least that looking at the images themselves would take. The first plan of a machine hashes them; later ones know
unchanged files by size, times and inode.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.synthetic import REPOSITORY, make_project, train_everything
from tasks.dvc.folder_hash import file_md5
from tasks.project.settings import Settings

REPEATS = 3


def main() -> None:
    """Build, plan, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=int, nargs="*", default=[10, 100, 1000])
    table = Table(
        "concepts", "first plan, s", "plan, s", "of the processor, s", "hashing all images, s", "plan / hashing"
    )
    for concepts in parser.parse_args().concepts:
        with tempfile.TemporaryDirectory() as folder:
            settings = make_project(Path(folder), concepts)
            train_everything(settings)
            settings.home.joinpath("image-digests.json").unlink(missing_ok=True)
            first, _ = planned(settings, concepts)
            seconds, processor = min(planned(settings, concepts) for _ in range(REPEATS))
            hashing = min(hashed(settings) for _ in range(REPEATS))
            cells = (first, seconds, processor, hashing, seconds / hashing)
            table.add_row(str(concepts), *(f"{cell:.2f}" for cell in cells))
    Console().print(table)


def planned(settings: Settings, concepts: int) -> tuple[float, float]:
    """Seconds of one command, by the clock and of the processor; it must find everything up to date."""
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "plan", "--json"]
    started, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, cwd=settings.root, env=environment(), capture_output=True, check=True)
    seconds = time.perf_counter() - started
    found = json.loads(done.stdout)["concepts"]
    stale = [concept for concept in found if concept["state"] != "up to date"]
    if stale or len(found) != concepts:
        sys.exit(f"{len(found)} concepts planned, not up to date: {stale[:1]}")
    return seconds, processor_seconds() - before


def processor_seconds() -> float:
    """Of all commands so far: what does not grow where other programs want the processor too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def hashed(settings: Settings) -> float:
    """Seconds to read and hash every image once."""
    started = time.perf_counter()
    for image in settings.concepts_dir.glob("*/images/*"):
        file_md5(image)
    return time.perf_counter() - started


def environment() -> dict[str, str]:
    """Of the command: this checkout's code, nothing of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONCEPTBOOTH_", "MLFLOW_"))}
    return kept | {"PYTHONPATH": str(REPOSITORY)}


if __name__ == "__main__":
    main()

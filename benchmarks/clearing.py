"""How long `gc` takes over a store of many versions: `python -m benchmarks.clearing [10 100 1000]`.

All contents are made up and small: clearing up lists the store, reads manifests and opens no content. Everything is
needed by the registry, which is the most that it can have to look at.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plan import environment
from benchmarks.record import write_record
from benchmarks.synthetic import make_project, train_everything
from tasks.project.settings import Settings
from tasks.store.store import open_store


@dataclass(frozen=True, kw_only=True)
class Row:
    """One size of store."""

    versions: int
    artefacts: int
    contents: int
    dry_run_seconds: float
    """Of the whole command, Python's start included."""
    seconds: float


def main() -> None:
    """Build, clear up, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows = [measured(count) for count in options.versions]
    table = Table("versions", "artefacts", "contents", "gc --dry-run, s", "gc, s")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else f"{value:.1f}" for value in asdict(row).values()))
    Console().print(table)
    if options.json:
        write_record(options.json, "clearing", [asdict(row) for row in rows])


def measured(versions: int) -> Row:
    """A store of so many versions, one a concept, all of which are needed."""
    with tempfile.TemporaryDirectory() as folder:
        settings = make_project(Path(folder), versions)
        train_everything(settings)
        inventory = open_store(settings).inventory()
        dry, wet = (_timed(settings, *options) for options in (["--dry-run"], []))
        left = open_store(settings).inventory()
        if left.manifests.keys() != inventory.manifests.keys():
            sys.exit("gc took away what versions stand on")
        return Row(
            versions=versions,
            artefacts=len(inventory.manifests),
            contents=len(inventory.contents),
            dry_run_seconds=dry,
            seconds=wet,
        )


def _timed(settings: Settings, *options: str) -> float:
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "gc", "--json", *options]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=settings.root, env=environment(), capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode or json.loads(done.stdout)["artefacts"]:
        sys.exit(done.stderr or done.stdout)
    return round(seconds, 2)


if __name__ == "__main__":
    main()

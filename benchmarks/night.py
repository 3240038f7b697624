"""How long a night takes in which nothing changed: `python -m benchmarks.night [10 100 1000]`.

The whole command is timed, from Python's start to its end, and the flow alone, as the summary says it: Prefect's
embedded server, which starts within the command, has nothing to do with the number of concepts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plan import environment
from benchmarks.synthetic import make_project, train_everything
from tasks.project.settings import Settings


def main() -> None:
    """Build, have two nights, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=int, nargs="*", default=[10, 100, 1000])
    table = Table("concepts", "flow, first night, s", "flow, second night, s", "whole command, s")
    for concepts in parser.parse_args().concepts:
        with tempfile.TemporaryDirectory() as folder:
            settings = make_project(Path(folder), concepts)
            train_everything(settings)
            first, _ = night(settings, concepts)
            second, whole = night(settings, concepts)
            table.add_row(str(concepts), f"{first:.1f}", f"{second:.1f}", f"{whole:.1f}")
    Console().print(table)


def night(settings: Settings, concepts: int) -> tuple[float, float]:
    """Seconds of the flow and of the whole command; all concepts must be found up to date."""
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "nightly", "--now", "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=settings.root, env=environment(), capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    summary = json.loads(done.stdout)
    if summary["up_to_date"] != concepts or summary["concepts"] or summary["warnings"]:
        sys.exit(f"no night without changes: {summary['text']} {summary['warnings']}")
    return float(summary["seconds"]), seconds


if __name__ == "__main__":
    main()

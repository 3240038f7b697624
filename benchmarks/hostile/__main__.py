"""Try the parts that are named, or all; the exit code is 1 where something did not hold."""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from benchmarks.hostile.parts import PARTS, attempts_of


def main() -> int:
    """Try, and say how many were tried and how many held."""
    parser = argparse.ArgumentParser(description="Hostile and damaged input, replayed.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; else all")
    parser.add_argument("--verbose", action="store_true", help="say of each what noticed it")
    arguments = parser.parse_args()
    console, failed = Console(), 0
    table = Table("part", "tried", "held", "seconds")
    for part in arguments.parts or PARTS:
        started, tried, held = time.monotonic(), 0, 0
        for attempt in attempts_of(part):
            tried, held = tried + 1, held + attempt.held
            if arguments.verbose or not attempt.held:
                mark = "held" if attempt.held else "NOT HELD"
                console.print(f"{part}: {mark}: {attempt.what}: {attempt.said}", soft_wrap=True, markup=False)
        failed += tried - held
        table.add_row(part, str(tried), str(held), f"{time.monotonic() - started:.0f}")
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

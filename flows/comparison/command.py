"""What `conceptbooth compare` does once its options are read."""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from flows.comparison.compare import Part, run_compare
from flows.comparison.report import ReportProvenance, check_report, write_report
from flows.comparison.summary import show_comparison
from flows.output.console import notices
from flows.output.invocation import path_from_here
from model.errors import InputError
from tasks.comparison.choice import Wanted, comparison_jobs
from tasks.project.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is made of a comparison, and how much of it now."""

    part: Part | None
    """None: all of it."""
    report: Path | None
    as_json: bool
    verbose: bool


def compare_and_show(
    settings: Settings, wanted: Wanted, output: Output, *, look_alikes: Path | None = None, train: bool = True
) -> None:
    """Compare, print, and write the report if one is asked for.

    Raises:
        InputError: something is wrong with what was asked for; no work was started.
        WorkFailed: a stage failed; what was finished is in the store, and the same call carries on.
    """
    if output.report:
        _check(settings, wanted, output.report)
    started = time.monotonic()
    compared = run_compare(
        settings, wanted, look_alikes=look_alikes, train=train, part=output.part, verbose=output.verbose
    )
    if compared is None:
        said = f"Part {said_part(output)} is done; the same command without --part puts everything side by side."
        notices().print(said, soft_wrap=True, markup=False)
        return
    show_comparison(settings, compared, as_json=output.as_json)
    if output.report:
        write_report(
            output.report, compared, ReportProvenance(command=command_line(), seconds=time.monotonic() - started)
        )
        notices().print(f"Report  {path_from_here(output.report.absolute())}", soft_wrap=True, markup=False)


def said_part(output: Output) -> str:
    """The part as people write it: `1/2`."""
    return f"{output.part.number}/{output.part.parts}" if output.part else ""


def command_line() -> str:
    """This process's command, as it can be typed again."""
    return shlex.join(["conceptbooth", *sys.argv[1:]])


def _check(settings: Settings, wanted: Wanted, report: Path) -> None:
    """Whether the report can be written; if not, what else is wrong is said with it."""
    try:
        check_report(report)
    except InputError as error:
        try:
            comparison_jobs(settings, wanted)
        except InputError as other:
            raise InputError(*error.problems, *other.problems) from error
        raise

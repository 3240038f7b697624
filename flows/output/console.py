"""What the commands say: standard output carries results, standard error carries everything else."""

import io
import json
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from typer import Exit, TyperException, confirm
from typer.core import TyperCommand

from flows.output.wheel import Wheel
from model.errors import InputError, WorkFailed
from tasks.project.private import remove_unused

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DEBUG_VARIABLE = "CONCEPTBOOTH_DEBUG"


_wheels: list[Wheel] = []
"""What turns while the command has said nothing; whoever takes a console is about to say something."""


_COMMANDS = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Characters that a terminal obeys: control characters, and those that turn the direction of writing."""
_SPELT = {code: ascii(chr(code))[1:-1] for code in _COMMANDS if chr(code) not in "\n\t"}
_IN_JSON = {code: f"\\u{code:04x}" for code in _SPELT}


class _Console(Console):
    """Shows what is printed and has no terminal obey it: names and words of others come out of stores and files.

    A record whose date moves the cursor could write "verified" over the faults above it.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(segment.text.translate(_SPELT), segment.style)


def results() -> Console:
    """Console for results; made anew so that it follows a redirected ``sys.stdout``."""
    stop_wheels()
    _write_any_name()
    return _plain(stderr=False)


def notices() -> Console:
    """Console for progress, hints and errors."""
    stop_wheels()
    return _plain(stderr=True)


def warn(sentence: str) -> None:
    """One sentence that a person should read before the work begins."""
    notices().print(Text.assemble(("warning: ", "bold yellow"), sentence), soft_wrap=True)


def stop_wheels() -> None:
    """Take away what says that a command is at work: something else is going to be written, or asked."""
    while _wheels:
        _wheels.pop().stop()


def _plain(*, stderr: bool) -> Console:
    # What is printed holds paths and names, in which brackets and colons mean nothing; styles are given as Text.
    return _Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _write_any_name() -> None:
    """Have standard output take names of files that are not UTF-8 too, in the spelling that JSON has for them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """Write one JSON document to standard output, without colours and line wrapping."""
    stop_wheels()
    _write_any_name()
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).translate(_IN_JSON) + "\n")


class ReportingCommand(TyperCommand):
    """A command whose failures reach the person as one message and an exit code, never as a stack trace.

    Exit codes: 1 work failed, 2 bad input or usage, 130 interrupted. With ``--json`` what is said of either is a JSON
    object on standard error, ``{"error": kind, "problems": [...]}``, so that standard output holds results only.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        as_json = "--json" in args
        try:
            return list(super().parse_args(ctx, args))
        except TyperException as error:
            if not as_json or ctx.resilient_parsing:
                raise  # Typer shows a box with the usage
            raise Exit(_report("usage", [error.format_message()], BAD_INPUT, as_json=True)) from error

    def invoke(self, ctx: Any) -> Any:  # a Context of the Click inside Typer, which it does not export
        as_json = bool(ctx.params.get("as_json"))
        _wheels.append(Wheel(_plain(stderr=True), f"{ctx.info_name}: at work ..."))
        try:
            return super().invoke(ctx)
        except Exit:
            raise
        except TyperException as error:
            if not as_json:
                raise
            raise Exit(_report("usage", [error.format_message()], BAD_INPUT, as_json=True)) from error
        except InputError as error:
            raise Exit(_report("input", error.problems, BAD_INPUT, as_json=as_json)) from error
        except WorkFailed as error:
            raise Exit(_report("failed", [str(error)], FAILED, as_json=as_json)) from error
        except KeyboardInterrupt as interrupt:
            said = "stopped; what was finished is kept, and the same command carries on from there"
            raise Exit(_report("interrupted", [said], INTERRUPTED, as_json=as_json)) from interrupt
        except BrokenPipeError:
            raise  # the reader of our output went away: Typer ends quietly
        except Exception as error:
            said = f"unexpected {type(error).__name__}: {error}\n(`conceptbooth --debug ...` shows where)"
            raise Exit(_report("unexpected", [said], FAILED, as_json=as_json)) from error
        finally:
            stop_wheels()
            remove_unused()


def _report(kind: str, problems: Any, code: int, *, as_json: bool) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    problems = list(problems)
    stop_wheels()
    if as_json:
        told = json.dumps({"error": kind, "problems": problems}, ensure_ascii=False)
        sys.stderr.write(told.translate(_IN_JSON) + "\n")
        return code
    console = notices()
    if len(problems) > 1:
        console.print(Text(f"{len(problems)} problems, nothing was done:", style="bold red"))
    for problem in problems:
        bullet = "  - " if len(problems) > 1 else "error: "
        console.print(Text.assemble((bullet, "bold red"), problem), soft_wrap=True)
    return code


def ask(what: str, question: str, *, as_json: bool) -> None:
    """Ask at the terminal. InputError where nobody can be asked, Abort (exit code 1) where they say no."""
    if as_json or not sys.stdin.isatty():
        raise InputError(
            f"{what}: nobody is here to be asked; look at it with --dry-run, then say --yes. Nothing was done"
        )
    stop_wheels()
    confirm(question, abort=True, err=True)

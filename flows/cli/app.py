"""The command line `conceptbooth`: thin, and quick to answer because every command imports its work inside."""

import os
import sys
from typing import Annotated

from typer import Exit, Option, Typer

from flows.cli import compare, concepts, every_day, export, get_started, look_inside, operate, pictures, release
from flows.output.console import DEBUG_VARIABLE, DONE, FAILED
from flows.output.leaving import leave

app = Typer(
    name="conceptbooth",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# As the help shows them.
for module in (get_started, every_day, concepts, compare, look_inside, pictures, release, export, operate):
    app.add_typer(module.panel.commands)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"conceptbooth {version('conceptbooth')}")
        raise Exit(DONE)


@app.callback()
def options(
    debug: Annotated[bool, Option("--debug", envvar=DEBUG_VARIABLE, help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Teach a text-to-image model new concepts from a few pictures each, and keep them traceable.

    Exit codes: [bold]0[/] done, [bold]1[/] work failed, [bold]2[/] bad input or usage. Results go to standard output,
    everything else to standard error.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def main() -> None:
    """Entry point of the console script."""
    try:
        sys.exit(app())
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else FAILED if end.code else DONE)
        raise

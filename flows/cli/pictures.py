"""The command that tells where pictures come from."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from flows.cli.panel import AsJson, Panel, project

panel = Panel("Look inside")


@panel.command(
    "whence pictures/red-teapot-v3-a-teapot-in-the-snow-7-0.png",
    "whence download.jpg --json",
    "whence pictures/ screenshot.png",
    "whence served/ --record",
)
def whence(
    pictures: Annotated[
        list[Path], Argument(metavar="PICTURE...", help="Pictures that an AI is said to have made, or folders of them.")
    ],
    record: Annotated[
        bool,
        Option("--record", help="Keep what their marks say, so that copies without a mark are recognised later."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which version of a concept made a picture, from which prompt, seed and images.

    Reads the mark in the picture. Where that is gone, as in what a social network sends back, it looks for a record of
    what was drawn here that looks like it, and says how sure that is. The exit code is 1 if this project knows no such
    version, or if manifest, mark and record do not hold together.
    """
    from flows.lineage.whence import show_whence

    raise Exit(show_whence(project(), pictures, record=record, as_json=as_json))

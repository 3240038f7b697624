"""The command that reads what a picture says of itself."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit

from flows.cli.panel import AsJson, Panel, project

panel = Panel("Look inside")


@panel.command("whence pictures/red-teapot-v3-a-teapot-in-the-snow-7-0.png", "whence download.png --json")
def whence(
    picture: Annotated[Path, Argument(metavar="PICTURE", help="A picture that `generate` or a served model made.")],
    as_json: AsJson = False,
) -> None:
    """Show which version of a concept made a picture, from which prompt and seed, and where that version comes from.

    The exit code is 1 if this project knows no such version, or if the picture's C2PA manifest does not hold.
    """
    from flows.lineage.whence import show_whence

    raise Exit(show_whence(project(), picture, as_json=as_json))

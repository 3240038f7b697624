"""The command that hands a model to other programs."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from flows.commands.shared import AsJson, Panel, TrainedConcept, project

panel = Panel("Release")


@panel.command(
    "export red-teapot --as diffusers -o exports/red-teapot", "export red-teapot@champion --as diffusers -o teapot"
)
def export(
    concept: TrainedConcept,
    form: Annotated[Literal["diffusers", "a1111", "comfyui"], Option("--as", help="What is to load it.")],
    output: Annotated[Path, Option("-o", "--output", help="A new folder; what is there is never overwritten.")],
    as_json: AsJson = False,
) -> None:
    """Write a version for other programs, with a model card in the form of the Hugging Face hub.

    NAME means what the last training registered, NAME@alias and NAME/version mean others.
    """
    from flows.export import run_export

    run_export(project(), concept, form, output, as_json=as_json)

"""The command that hands a model to other programs."""

from pathlib import Path
from typing import Annotated, Literal

from typer import BadParameter, Option

from flows.cli.panel import AsJson, Panel, TrainedConcept, project

panel = Panel("Release")


@panel.command(
    "export red-teapot --as diffusers -o exports/red-teapot",
    "export red-teapot@champion --as lora --rank 16 --measure -o exports/red-teapot-lora",
    "export red-teapot --as kohya -o exports/red-teapot-kohya",
)
def export(
    concept: TrainedConcept,
    form: Annotated[
        Literal["diffusers", "lora", "kohya", "a1111", "comfyui"], Option("--as", help="What is to load it.")
    ],
    output: Annotated[Path, Option("-o", "--output", help="A new folder; what is there is never overwritten.")],
    rank: Annotated[int | None, Option(min=1, help="Of a LoRA; if none is given that of its training, or 32.")] = None,
    measure: Annotated[bool, Option("--measure", help="Of a LoRA: draw and score it, to tell what it loses.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a version for other programs, with a model card in the form of the Hugging Face hub.

    A LoRA (lora for diffusers, kohya for web UIs and ComfyUI) holds the nearest change of a given rank, and `loss.json`
    says what it leaves out.

    NAME means what the last training registered, NAME@alias and NAME/version mean others.
    """
    from flows.concepts.export import run_export
    from tasks.registry.reference import VersionReference

    if form not in ("lora", "kohya") and (rank is not None or measure):
        raise BadParameter("--rank and --measure go with --as lora and --as kohya")
    run_export(project(), VersionReference.parse(concept), form, output, rank=rank, measure=measure, as_json=as_json)

"""The commands that hold methods side by side."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from flows.cli.panel import AsJson, ConceptNames, Panel, Verbose, project, whole_numbers

if TYPE_CHECKING:
    from flows.comparison.compare import Part

panel = Panel("Compare methods")

LookAlikes = Annotated[
    Path | None, Option(metavar="DIR", help="Images of other things of the kind, in DIR/NAME or DIR itself.")
]
APart = Annotated[
    str | None, Option(metavar="K/N", help="Train and draw the K-th of N parts of the concepts, and stop there.")
]
Report = Annotated[
    Path | None, Option(metavar="FILE", help="Write a page of Markdown, its pictures in a folder beside it.")
]


@panel.command(
    "compare red-teapot --methods attndreambooth,textual_inversion,dreambooth",
    "compare red-teapot my-dog --methods attndreambooth,dreambooth:diffusers --seeds 0,1 --images-per-prompt 8",
    "compare red-teapot my-dog --methods attndreambooth,dreambooth --sweep 20,40,80",
    "compare red-teapot --methods attndreambooth --prompts data/prompts/neti.yaml --no-train --json",
)
def compare(
    names: ConceptNames,
    methods: Annotated[str, Option(metavar="A,B", help="METHOD or METHOD:PRESET; the others are held against A.")],
    seeds: Annotated[
        str | None, Option(metavar="N,M", help="Training seeds, each a training; else that of params.yaml.")
    ] = None,
    prompts: Annotated[Path | None, Option(metavar="FILE", help="Prompt set; else that of params.yaml.")] = None,
    images_per_prompt: Annotated[int | None, Option(metavar="N", help="Pictures of each prompt.")] = None,
    steps: Annotated[int | None, Option(metavar="N", help="Sampling steps of each picture.")] = None,
    sweep: Annotated[
        str | None,
        Option(metavar="N,M,K", help="Steps of the last stage: each method is trained so often, and curves compared."),
    ] = None,
    look_alikes: LookAlikes = None,
    train: Annotated[bool, Option("--train/--no-train", help="Train what is not trained yet.")] = True,
    part: APart = None,
    report: Report = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Hold methods side by side: the same concepts, prompts and seeds; scores, differences, pictures.

    Registers nothing: what a concept's model is made by stands in params.yaml. What is finished is in the store, so a
    comparison that was stopped goes on where it was.
    """
    from flows.comparison.command import Output, compare_and_show
    from tasks.comparison.choice import Drawing, Wanted, chosen

    wanted = Wanted(
        concepts=names,
        methods=chosen(
            [label.strip() for label in methods.split(",") if label.strip()], whole_numbers("--sweep", sweep)
        ),
        seeds=whole_numbers("--seeds", seeds),
        drawing=Drawing(prompts=prompts, images_per_prompt=images_per_prompt, num_inference_steps=steps),
    )
    output = Output(part=read_part(part), report=report, as_json=as_json, verbose=verbose)
    compare_and_show(project(), wanted, output, look_alikes=look_alikes, train=train)


@panel.command("tune toyworld/tuning.yaml", "tune grid.yaml --report docs/tuning.md")
def tune(
    grid: Annotated[Path, Argument(metavar="GRID", help="What is tried: concepts, seeds, and settings by method.")],
    look_alikes: LookAlikes = None,
    part: APart = None,
    report: Report = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Try settings of methods, the same number of each, and say which were best.

    Changes nothing: put what was best into params.yaml or the presets. A tuning that was stopped goes on where it was.
    """
    from flows.comparison.command import Output
    from flows.comparison.tune import run_tune

    output = Output(part=read_part(part), report=report, as_json=as_json, verbose=verbose)
    run_tune(project(), grid, output, look_alikes=look_alikes)


def read_part(text: str | None) -> "Part | None":
    """`2/3`: the second of three parts; None for all of it. BadParameter if it is none."""
    from flows.comparison.compare import Part

    if not text:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise BadParameter(f"--part {text}: say which of how many, as in --part 1/2")
    return Part(number=int(found[1]), parts=int(found[2]))

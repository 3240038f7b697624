"""The first commands that a newcomer runs."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from flows.cli.panel import AsJson, Panel, project

panel = Panel("Get started")


@panel.command("init try-it --base toyworld", "init sneakers --base sd21", "init sneakers --base ~/models/my-base")
def init(
    folder: Annotated[Path, Argument(metavar="DIR", help="A folder that is not there yet, or empty.")],
    base: Annotated[
        str,
        Option(
            metavar="BASE",
            help="[bold]toyworld[/] (embedded: for trying, no GPU), [bold]sd15[/], [bold]sd21[/], [bold]sdxl[/], "
            "[bold]zimage[/] (for photographs, on a GPU), a diffusers folder, or a hub id.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a project for a base model: parameters, prompts, gates, git and DVC that fit it.

    Asks nobody on the network. A hub id whose commit is not known is written unpinned; doctor pins it once the hub
    answers.
    """
    from flows.new_project.init import run_init

    run_init(folder, base, as_json=as_json)


@panel.command("demo", "demo --json")
def demo(as_json: AsJson = False) -> None:
    """Make the bundled sample concept: images, training, evaluation, registration, gallery.

    Takes a few minutes on two CPU cores the first time, seconds when nothing changed. Needs no network and no GPU.
    """
    from flows.training.demo import run_demo

    raise Exit(run_demo(project(), as_json=as_json))


@panel.command("samples", "samples jade-teapot ginger-cat")
def samples(
    names: Annotated[
        list[str] | None, Argument(metavar="NAME", help="Samples to take into this project; none: list them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the things that come with the embedded base for trying it, or take some of them into this project."""
    from flows.new_project.samples import run_samples

    run_samples(project(), names or [], as_json=as_json)

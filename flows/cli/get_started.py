"""The first command that a newcomer runs."""

from typer import Exit

from flows.cli.panel import AsJson, Panel, project

panel = Panel("Get started")


@panel.command("demo", "demo --json")
def demo(as_json: AsJson = False) -> None:
    """Make the bundled sample concept: images, training, evaluation, registration, gallery.

    Takes a few minutes on two CPU cores the first time, seconds when nothing changed. Needs no network and no GPU.
    """
    from flows.training.demo import run_demo

    raise Exit(run_demo(project(), as_json=as_json))

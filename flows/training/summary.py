"""What a training's end tells a person: what was made, how good it is in plain words, where to look, what to try."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.output.console import notices, results
from flows.output.invocation import command, path_from_here
from flows.training.outcome import ConceptOutcome
from tasks.concepts.domain import PHOTOGRAPH_BASE
from tasks.figures.score_words import Reading, ScoreVerdict, read_scores


def show_outcomes(outcomes: Sequence[ConceptOutcome]) -> None:
    """Print one summary for each concept: those that were done on standard output, failures on standard error."""
    for outcome in outcomes:
        if outcome.error is None:
            show_outcome(outcome)
        else:
            said = Text.assemble((f"{outcome.concept} failed: ", "bold red"), outcome.error)
            notices().print(said, soft_wrap=True)
            if outcome.tasks:
                kept = ", ".join(task.name for task in outcome.tasks)
                again = f"{command()} train {outcome.concept}"
                notices().print(Text(f"  kept: {kept}; `{again}` carries on from there"), soft_wrap=True)


def show_outcome(outcome: ConceptOutcome) -> None:
    """Print the summary of a training that was done."""
    console = results()
    console.print()
    console.print(_headline(outcome), soft_wrap=True)
    console.print(_tasks(outcome))
    if outcome.scores is not None:
        console.print()
        for reading in read_scores(outcome.scores):
            _show_reading(console, reading)
    if outcome.gallery_png and outcome.gallery_html:
        console.print()
        console.print(Text.assemble(("Gallery  ", "bold"), path_from_here(outcome.gallery_html)), soft_wrap=True)
        console.print(Text.assemble("         ", path_from_here(outcome.gallery_png)), soft_wrap=True)
    if outcome.verdict is not None:
        console.print()
        console.print(_verdict(outcome.verdict, outcome.concept), soft_wrap=True)


def show_next_steps(concept: str) -> None:
    """Print the commands that a newcomer should try next."""
    steps = [
        (f"{command()} ui", "the pages of Prefect (runs) and MLflow (scores, curves, models)"),
        (f'{command()} generate {concept} "a watercolor of a {{}} in the snow"', "pictures of it in a new scene"),
        (f"{command()} samples", "other things of the toy world to teach it"),
        (
            f"{command()} init ../photographs --base {PHOTOGRAPH_BASE}",
            "a project for photographs of your own: this base draws its toy world alone; trains on a GPU",
        ),
    ]
    console = results()
    console.print()
    console.print(Text("Try next", style="bold"))
    for line, what in steps:
        console.print(Text.assemble("  ", (line, "cyan")), soft_wrap=True)
        console.print(Text(f"      {what}", style="dim"), soft_wrap=True)


def _headline(outcome: ConceptOutcome) -> Text:
    line = Text.assemble((outcome.concept, "bold"), " is ")
    line.append(f"{outcome.model_name} version {outcome.version}", style="bold")
    line.append(", registered now" if outcome.version_created else ", registered before: nothing changed")
    return line.append(f" (base model {outcome.base})")


def _verdict(verdict: ScoreVerdict, concept: str) -> Text:
    """What the summary ends in: what a promotion would say of the scores."""
    line = Text.assemble(("Verdict  ", "bold"), (verdict.said, "green" if verdict.passed else "bold red"))
    return line.append(f"; `{command()} promote {concept}` asks the other gates" if verdict.passed else "")


def _tasks(outcome: ConceptOutcome) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for task in outcome.tasks:
        style = "green" if task.state == "cached" else ""
        table.add_row(task.name, Text(task.state, style=style), f"{task.seconds:.1f} s")
    table.add_row("altogether", "", f"{outcome.seconds:.1f} s", style="dim")
    return table


def _show_reading(console: Console, reading: Reading) -> None:
    line = Text.assemble((f"{reading.title:<23}", "bold"), f"{reading.name} ", (str(reading.trained), "bold"))
    console.print(line.append(f", {reading.verdict} ({reading.base})"), soft_wrap=True)
    console.print(Text(f"{'':<23}{reading.meaning}", style="dim"), soft_wrap=True)

"""What `conceptbooth compare` prints: the table, the differences, and where the pictures are."""

from collections.abc import Iterator
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from flows.comparison.compare import Comparison
from flows.output.console import print_json, results
from flows.output.invocation import path_from_here
from model.scores.interval import Interval
from tasks.comparison.table import MEANINGS, TITLES, MethodTable, signed
from tasks.project.settings import Settings
from tasks.promotion.policy import CALLED
from tasks.promotion.score_verdict import ScoreVerdict, project_policy, score_verdict


def show_comparison(settings: Settings, comparison: Comparison, *, as_json: bool) -> None:
    """On standard output, with what the project's promotion policy says of each method's means at the end."""
    table, folder = comparison.table, comparison.folder
    verdicts = _verdicts(settings, table)
    if as_json:
        told = {method: asdict(verdict) for method, verdict in verdicts.items()}
        print_json(table.to_json() | {"folder": str(folder), "mlflow_run": comparison.run_id, "verdicts": told})
        return
    console = results()
    console.print(Text(f"{table.over}; the same noise for all methods", style="bold"), soft_wrap=True)
    against = f", and of paired differences to {table.methods[0]}" if len(table.methods) > 1 else ""
    console.print(Text(f"means with 95 % intervals{against}", style="dim"), soft_wrap=True)
    console.print(_shown(table))
    console.print(Text(table.base_words, style="dim"), soft_wrap=True)
    for score in table.scores:
        console.print(Text(f"  {TITLES[score]}: {MEANINGS[score]}", style="dim"), soft_wrap=True)
    for note in table.notes:
        console.print(Text(f"  {note}", style="yellow"), soft_wrap=True)
    console.print()
    for title, said in _pictures(comparison):
        console.print(Text.assemble((f"{title:<9} ", "bold"), said), soft_wrap=True)
    console.print(Text.assemble(("MLflow    ", "bold"), f"run {comparison.run_id}"), soft_wrap=True)
    if verdicts:
        console.print()
    for method, verdict in verdicts.items():
        judged = (verdict.said, "green" if verdict.passed else "red")
        console.print(Text.assemble(("Verdict   ", "bold"), f"{method}: ", judged), soft_wrap=True)


def _verdicts(settings: Settings, table: MethodTable) -> dict[str, ScoreVerdict]:
    """By method, of its means over all concepts; none where the policy asks for no scores or cannot be read."""
    policy = project_policy(settings)
    means = {m: {s: table.mean(m, s).mean for s in table.scores if s in CALLED} for m in table.methods}
    judged = {method: score_verdict(policy, scores) for method, scores in means.items()} if policy else {}
    return {method: verdict for method, verdict in judged.items() if verdict}


def _pictures(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Where pictures lie; those of one kind have one line, however many concepts there are."""
    drawn = comparison.pictures
    yield "Folder", path_from_here(comparison.folder)
    yield "Plane", drawn.plane.name
    sheets = {"By method": drawn.sheets, "Attention": drawn.attention, "By stage": drawn.stages}
    for title, files in sheets.items():
        if files:
            first, *others = (file.name for file in files.values())
            yield title, f"{first} and {len(others)} more" if others else first


def _shown(table: MethodTable) -> Table:
    """A score after the other, because all side by side need more columns than a terminal has."""
    first, *others = table.methods
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    shown.add_column(overflow="fold")
    for title in ("mean", *(["difference"] if others else [])):
        shown.add_column(title, no_wrap=True)
    for score in table.scores:
        shown.add_row(Text(TITLES[score], style="bold"))
        for method in table.methods:
            row = [Text(f"  {method}"), Text(str(table.mean(method, score)))]
            shown.add_row(*row, *([_coloured(table.difference(method, score))] if method != first else []))
    return shown


def _coloured(interval: Interval) -> Text:
    above = interval.low is not None and interval.low > 0
    below = interval.high is not None and interval.high < 0
    return Text(signed(interval), style="green" if above else "red" if below else "")

"""What `conceptbooth compare` prints: the table, the differences, and where the pictures are."""

from rich.table import Table
from rich.text import Text

from flows.compare import PLANE, Comparison
from flows.console import print_json, results
from flows.summary import path_from_here
from model.interval import Interval
from tasks.method_table import MEANINGS, TITLES, signed


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """On standard output."""
    table, folder = comparison.table, comparison.folder
    if as_json:
        print_json(table.to_json() | {"folder": str(folder), "mlflow_run": comparison.run_id})
        return
    console = results()
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    shown.add_column("method", no_wrap=True)
    for score in table.scores:
        shown.add_column(TITLES[score])
    for method in table.methods:
        shown.add_row(Text(method, style="bold"), *(str(table.mean(method, score)) for score in table.scores))
    if len(table.methods) > 1:
        shown.add_section()
    for method in table.methods[1:]:
        row = [_coloured(table.difference(method, score)) for score in table.scores]
        shown.add_row(f"{method} - {table.methods[0]}", *row)
    over = f"{len(table.concepts)} concepts, {len(table.prompts)} prompts, the same seeds; 95 % intervals"
    console.print(Text(f"Means over {over}", style="bold"), soft_wrap=True)
    console.print(shown)
    for score in table.scores:
        console.print(Text(f"  {TITLES[score]}: {MEANINGS[score]}", style="dim"), soft_wrap=True)
    for note in table.notes:
        console.print(Text(f"  {note}", style="yellow"), soft_wrap=True)
    console.print()
    for title, file in [("Plane", PLANE), *((name, f"{name}.png") for name in table.concepts)]:
        console.print(Text.assemble((f"{title}  ", "bold"), path_from_here(folder / file)), soft_wrap=True)
    console.print(Text.assemble(("MLflow  ", "bold"), f"run {comparison.run_id}"), soft_wrap=True)


def _coloured(interval: Interval) -> Text:
    above = interval.low is not None and interval.low > 0
    below = interval.high is not None and interval.high < 0
    return Text(signed(interval), style="green" if above else "red" if below else "")

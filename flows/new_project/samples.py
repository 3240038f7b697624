"""`conceptbooth samples`: what comes with the embedded base for trying it, and taking it into a project."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from flows.output.console import notices, print_json, results
from flows.output.invocation import command
from tasks.concepts.concepts import concept_names
from tasks.new_project.samples import add_samples, bundled_samples
from tasks.project.settings import Settings


def run_samples(settings: Settings, names: Sequence[str], *, as_json: bool) -> None:
    """Without names list the samples; else add those that are named.

    Raises:
        InputError: no such sample, or a base that does not draw their world; nothing was written.
        WorkFailed: a sample could not be drawn, or DVC failed.
    """
    if not names:
        _list(settings, as_json=as_json)
        return
    with notices().status("Drawing and storing images ..."):
        added = [each.concept.name for each in add_samples(settings, names)]
    there = [name for name in dict.fromkeys(names) if name not in added]
    if as_json:
        print_json({"added": added, "there_before": there})
        return
    if there:
        results().print(f"There before: {', '.join(there)}", soft_wrap=True)
    if added:
        results().print(f"Added: {', '.join(added)}", soft_wrap=True)
    results().print(f"  teach them:  {command()} train {' '.join(dict.fromkeys(names))}", soft_wrap=True)


def _list(settings: Settings, *, as_json: bool) -> None:
    there = set(concept_names(settings))
    rows = [asdict(sample) | {"in_project": sample.name in there} for sample in bundled_samples(settings)]
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("sample", "what it is", "licence", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            row["name"], row["super_category"], row["licence"], "in this project" if row["in_project"] else ""
        )
    results().print(table)
    notices().print(f"`{command()} samples NAME ...` takes them in", soft_wrap=True)

"""`conceptbooth diff`: what changed between two versions, their scores side by side, and their pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.progress import TerminalReporter
from model.errors import InputError, WorkFailed
from model.marks.marking import ai_made_png
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.diff import ScorePair, VersionDiff, compare_chains
from tasks.lineage.diff_sheet import draw_diff_sheet
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.store.store import open_store

_SIDE = re.compile(r"v?(?P<version>[1-9][0-9]*)|@?(?P<alias>[A-Za-z][A-Za-z0-9_.-]*)")

_INTERVAL = len("0.87 [0.84, 0.89]")


def show_diff(settings: Settings, name: str, before: str, after: str, *, sheet: Path | None, as_json: bool) -> None:
    """Print what changed between two versions or aliases of a concept, and draw the sheet.

    Raises:
        InputError: no such concept, version or alias, or a chain that is not whole; nothing was written.
        WorkFailed: the store cannot be read, or the sheet not be written.
    """
    references = [_reference(name, side) for side in (before, after)]
    if sheet is not None and not sheet.resolve().parent.is_dir():
        raise InputError(f"--sheet {sheet}: there is no folder {sheet.parent}")
    reporter = TerminalReporter(notices())
    reporter.prepare(f"reading where {references[0]} and {references[1]} come from")
    try:
        diff, drawn = _compared(settings, name, references, sheet, reporter)
    finally:
        reporter.end()
    if as_json:
        print_json(diff.to_json() | {"sheet": str(drawn) if drawn else None})
        return
    _print(diff, drawn)


def _compared(
    settings: Settings,
    name: str,
    references: Sequence[VersionReference],
    sheet: Path | None,
    reporter: TerminalReporter,
) -> tuple[VersionDiff, Path | None]:
    """What changed, and where the sheet was drawn, if there are pictures for one."""
    store = open_store(settings)
    with open_index(settings, store) as index:
        old, new = (read_chain(store, index, find_head(settings, store, index, named)) for named in references)
    diff = compare_chains(old, new)
    drawn = None
    if diff.prompts:
        reporter.prepare("drawing their pictures side by side")
        drawn = sheet or settings.home / "diffs" / f"{name}-{_called(old)}-{_called(new)}.png"
        try:
            drawn.parent.mkdir(parents=True, exist_ok=True)
            drawn.write_bytes(ai_made_png(draw_diff_sheet(store, diff)))
        except OSError as error:
            raise WorkFailed(f"{drawn}: cannot be written: {error.strerror or error}") from error
    return diff, drawn


def _reference(name: str, side: str) -> VersionReference:
    match = _SIDE.fullmatch(side)
    if match is None or any(mark in name for mark in "@/"):
        raise InputError(f"diff {name} {side}: write NAME and two versions or aliases, as in `diff turtle 2 champion`")
    version = int(match["version"]) if match["version"] else None
    return VersionReference(concept=name, alias=match["alias"], version=version)


def _called(chain: Chain) -> str:
    return f"v{chain.head.version}" if chain.head.version else chain.head.key[:8]


def _print(diff: VersionDiff, sheet: Path | None) -> None:
    console = results()
    before, after = _called(diff.before), _called(diff.after)
    console.print(Text(f"{diff.after.head.concept} {before} -> {after}", style="bold"))
    for change in diff.changes or ("made from the same: nothing changed",):
        console.print(Text(f"  {change}"), soft_wrap=True)
    if diff.same_stages:
        console.print(Text(f"  the same artefacts: {', '.join(diff.same_stages)}", style="dim"), soft_wrap=True)
    for note in diff.notes:
        console.print(Text(f"  {note}", style="yellow"), soft_wrap=True)
    if diff.scores:
        console.print()
        console.print(_scores(diff.scores, titles=("", before, after, "")))
        for prompt, *pairs in diff.prompts:
            console.print(Text(prompt), soft_wrap=True)
            console.print(_scores(pairs))
    if sheet is not None:
        console.print(Text.assemble(("Pictures  ", "bold"), str(sheet)), soft_wrap=True)


def _scores(pairs: Sequence[ScorePair], titles: Sequence[str] = ("",) * 4) -> Table:
    """Scores one below the other, in columns of one width whatever stands in them, for terminals of 80 columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=any(titles))
    for title, width in zip(titles, (6, _INTERVAL, _INTERVAL, None), strict=True):
        table.add_column(title, width=width, no_wrap=width is not None)
    for pair in pairs:
        table.add_row(Text(pair.name, style="bold"), str(pair.before), str(pair.after), _verdict(pair))
    return table


def _verdict(pair: ScorePair) -> Text:
    style = "green" if "higher" in pair.verdict else "red" if "lower" in pair.verdict else "dim"
    return Text(pair.verdict, style=style)

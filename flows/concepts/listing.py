"""What `conceptbooth list` shows: each concept as it stands, what needs somebody last; equal rows are one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from flows.concepts.overview import BROKEN, MISSING, UNKNOWN, ConceptRow, overview
from flows.output.console import notices, print_json, results
from flows.output.image_notes import tell_notes
from flows.output.invocation import command
from flows.output.names import some_names
from tasks.project.settings import Settings

_STATES = {
    "uncommitted": "git's newest commit does not record this data version: commit the concept's folder",
    "changed": "the images are not those of the last `dvc add` or `dvc repro`: run it again, or put them back",
    "untracked": "the images are not under version control: run `dvc add` on them",
    MISSING: "the images are not here yet: `dvc repro` makes those of the samples, `dvc pull` fetches others",
    BROKEN: "cannot be used, see the problems below",
}
_ORDER = ("up to date", UNKNOWN, "stale", "failed", "problem")
"""What matters last, where the eye is."""
_STYLES = {"up to date": "green", "stale": "yellow", "failed": "bold red", "problem": "bold red"}
_FOLDED_FROM = 20
"""Rows; a shorter list is shown whole."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which concepts are shown; all without any."""

    stale: bool = False
    failed: bool = False
    serving: bool = False
    category: str | None = None
    whole: bool = False
    """Do not fold."""

    @property
    def chooses(self) -> bool:
        """Whether it leaves any out."""
        return self.stale or self.failed or self.serving or self.category is not None

    def takes(self, row: ConceptRow) -> bool:
        """Whether a concept is shown; one that failed is stale too."""
        if self.stale and row.training not in ("stale", "failed"):
            return False
        if self.failed and row.training not in ("failed", "problem"):
            return False
        if self.serving and row.champion is None:
            return False
        return self.category is None or self.category.strip().lower() in (row.super_category or "").lower()


def show_concepts(settings: Settings, wanted: Filter | None = None, *, as_json: bool = False) -> None:
    """Print the list as a table, or as JSON, which holds every row."""
    wanted = wanted or Filter()
    found = overview(settings)
    rows = [row for row in found.rows if wanted.takes(row)]
    if as_json:
        print_json([asdict(row) | {"notes": [note.said for note in row.notes]} for row in rows])
        return
    if not found.rows:
        results().print('No concepts yet: conceptbooth add NAME IMAGES... --category "stuffed animal"')
        return
    if rows:
        _show(rows, fold=not wanted.whole and not wanted.chooses and len(rows) > _FOLDED_FROM)
    for said in found.unknown:
        notices().print(Text.assemble(("warning: ", "yellow"), f"not known: {said}"), soft_wrap=True)
    _show_remarks(rows)
    notices().print(Text(_counted(rows, len(found.rows), wanted), "dim"), soft_wrap=True)


def _show(rows: Sequence[ConceptRow], *, fold: bool) -> None:
    plain = [row for row in rows if _is_plain(row)] if fold else []
    if plain:
        head = Text.assemble((f"{len(plain)} up to date", "green"), f": {some_names([row.name for row in plain])}")
        results().print(head.append(f" (`{command()} list --all`)", "dim"), soft_wrap=True)
    shown = sorted((row for row in rows if row not in plain), key=_weight)
    if not shown:
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    right = ("images", "version", "serves", "CLIP-I", "CLIP-T")
    headings = ("concept", "category", "images", "state", "version", "serves", "CLIP-I", "CLIP-T", "trained")
    columns = zip(headings, zip(*map(_cells, shown), strict=True), strict=True)
    filled = [(heading, cells) for heading, cells in columns if any(cells)]  # 80 characters are few
    for heading, _ in filled:
        wraps = heading in ("concept", "category", "state")
        table.add_column(
            heading,
            no_wrap=not wraps,
            overflow="fold",
            min_width=len("uncommitted") if heading == "state" else None,
            justify="right" if heading in right else "left",
        )
    for cells in zip(*(cells for _, cells in filled), strict=True):
        table.add_row(*cells)
    results().print(table)


def _is_plain(row: ConceptRow) -> bool:
    return row.training == "up to date" and row.state == "committed"


def _weight(row: ConceptRow) -> tuple[int, bool, str]:
    return _ORDER.index(row.training), not _is_plain(row), row.name


def _cells(row: ConceptRow) -> list[Text]:
    version = str(row.version or "")
    if row.candidate is not None and row.candidate != row.version:
        version += f" (candidate {row.candidate})"
    marks = [row.state] if row.state in _STATES else []
    marks += ["images out of order"] if row.notes else []
    state = Text(row.training, _STYLES.get(row.training, "dim"))
    for mark in marks:
        state.append(", ").append(mark, "yellow")
    return [
        Text(row.name, "bold"),
        Text(row.super_category or ""),
        Text("" if row.images is None else str(row.images)),
        state,
        Text(version),
        Text("" if row.champion is None else str(row.champion)),
        *(Text("" if score is None else f"{score:.2f}") for score in (row.clip_i, row.clip_t)),
        Text((row.trained_at or "")[:10]),
    ]


def _show_remarks(rows: Sequence[ConceptRow]) -> None:
    for mark, meaning in _STATES.items():
        if any(row.state == mark for row in rows):
            notices().print(Text.assemble((f"{mark}: ", "yellow"), meaning), soft_wrap=True)
    tell_notes(note for row in rows for note in row.notes)
    for problem in (problem for row in rows if row.state != MISSING for problem in row.problems):
        notices().print(Text(f"  - {problem}"), soft_wrap=True)


def _counted(rows: Sequence[ConceptRow], everybody: int, wanted: Filter) -> str:
    counts = {state: sum(row.training == state for row in rows) for state in _ORDER}
    parts = [f"{count} {_COUNTED.get(state, state)}" for state, count in counts.items() if count]
    serving = sum(row.champion is not None for row in rows)
    parts += [f"{serving} in production"] if serving else []
    said = ", ".join(parts) or "none"
    return f"{len(rows)} of {everybody} concepts: {said}" if wanted.chooses else f"{len(rows)} concepts: {said}"


_COUNTED = {"stale": "to train", "problem": "cannot be trained", UNKNOWN: "not looked at"}

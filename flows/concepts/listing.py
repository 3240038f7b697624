"""What `conceptbooth list` shows: each concept and the data version of its images as they are now."""

from dataclasses import asdict, dataclass, replace

from rich.table import Table
from rich.text import Text

from flows.output.console import notices, print_json, results
from model.errors import InputError
from tasks.concepts.concepts import concept_names, load_concept
from tasks.concepts.image_sets import ImagesMissing, git_state, image_set
from tasks.project.git import GitState
from tasks.project.settings import Settings

_STATES = {
    "uncommitted": "git's newest commit does not record this data version: commit the concept's folder",
    "changed": "the images are not those of the last `dvc add` or `dvc repro`: run it again, or put them back",
    "untracked": "the images are not under version control: run `dvc add` on them",
    "missing": "the images are not here yet: `dvc repro` makes those of the samples, `dvc pull` fetches others",
    "broken": "cannot be used, see the problems below",
}


@dataclass(frozen=True, kw_only=True)
class ConceptRow:
    """One line of the list; what could not be told is None, and `problems` say why."""

    name: str
    super_category: str | None = None
    images: int | None = None
    licence: str | None = None
    data_version: str | None = None
    """DVC's folder hash."""
    state: str = "broken"
    """committed, uncommitted, changed or untracked (see tasks.concepts.image_sets.ImageSet), missing or broken."""
    problems: tuple[str, ...] = ()


def concept_rows(settings: Settings) -> list[ConceptRow]:
    """All concepts by name. A broken one is a row with its problems: it must not hide the others."""
    git = git_state(settings)
    return [_row(settings, name, git) for name in concept_names(settings)]


def show_concepts(settings: Settings, *, as_json: bool = False) -> None:
    """Print the list as a table, or as JSON."""
    rows = concept_rows(settings)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        results().print('No concepts yet: conceptbooth add NAME IMAGES... --category "stuffed animal"')
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("concept", no_wrap=True)
    for heading in ("super-category", "images", "licence", "data version", ""):
        table.add_column(heading, justify="right" if heading == "images" else "left")
    for row in rows:
        cells = (row.name, row.super_category, row.images, row.licence, (row.data_version or "")[:8])
        mark = row.state if row.state in _STATES else ""
        table.add_row(*("" if cell is None else str(cell) for cell in cells), Text(mark, "yellow"))
    results().print(table)
    for mark, meaning in _STATES.items():
        if any(row.state == mark for row in rows):
            notices().print(Text.assemble((f"{mark}: ", "yellow"), meaning), soft_wrap=True)
    for problem in (problem for row in rows if row.state == "broken" for problem in row.problems):
        notices().print(f"  - {problem}", soft_wrap=True)


def _row(settings: Settings, name: str, git: GitState) -> ConceptRow:
    row = ConceptRow(name=name)
    try:
        concept = load_concept(settings, name)
        row = replace(row, super_category=concept.super_category, licence=concept.licence)
        images = image_set(settings, concept, git)
    except ImagesMissing as error:
        return replace(row, state="missing", problems=error.problems)
    except InputError as error:
        return replace(row, problems=error.problems)
    return replace(row, images=len(images.files), data_version=images.digest, state=images.state)

"""`conceptbooth gallery`: where a concept's galleries are, and the page of all concepts."""

import os
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from flows.concepts.overview import ConceptRow, Overview, overview
from flows.output.console import notices, print_json, results
from flows.output.invocation import command, path_from_here
from flows.output.progress import TerminalReporter
from model.errors import InputError, WorkFailed
from tasks.execution.reporting import Reporter
from tasks.figures.gallery_index import IndexCard, render_index
from tasks.galleries.thumbnails import thumbnails
from tasks.project.settings import Settings
from tasks.registry.all_versions import RegistryUnknown, registered_versions
from tasks.store.artefacts import PAGE
from tasks.store.store import open_store


def show_gallery(settings: Settings, concept: str, *, as_json: bool) -> None:
    """Print where the pages of a concept's versions are, the last training's first. InputError for none."""
    folder = settings.gallery_dir / concept
    versions = {
        int(page.parent.name[1:]): page for page in folder.glob(f"v[0-9]*/{PAGE}") if page.parent.name[1:].isdigit()
    }
    newest = folder / PAGE
    if not newest.is_file():
        raise InputError(f"concept '{concept}': no gallery in {folder}; `{command()} train {concept}` puts it there")
    pages = {number: str(versions[number]) for number in sorted(versions)}
    if as_json:
        print_json({"concept": concept, "page": str(newest), "versions": pages})
        return
    results().print(path_from_here(newest), soft_wrap=True)
    for number, page in pages.items():
        results().print(Text.assemble((f"  version {number}  ", "dim"), path_from_here(Path(page))), soft_wrap=True)


def write_index(settings: Settings, place: Path | None, *, as_json: bool) -> None:
    """Write the page of all concepts, and print where it is.

    Raises:
        StoreFailed: the store cannot be read.
        WorkFailed: the page cannot be written.
    """
    file = place or settings.gallery_dir / PAGE
    page, found = index_page(settings, file, TerminalReporter(notices()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise WorkFailed(f"{file}: cannot be written ({error.strerror or error})") from error
    if as_json:
        print_json({"page": str(file), "concepts": len(found.rows), "unknown": list(found.unknown)})
        return
    results().print(path_from_here(file), soft_wrap=True)


def index_page(settings: Settings, file: Path, reporter: Reporter) -> tuple[str, Overview]:
    """The page of all concepts, whose links lead from `file`, and what it was made from. StoreFailed as above."""
    reporter.prepare("asking store and registry")
    try:
        found = overview(settings)
        try:
            registered = registered_versions(settings)
        except RegistryUnknown:
            registered = {}  # the overview has said it
        named = {row.name for row in found.rows}
        newest = [versions[-1] for concept, versions in registered.items() if concept in named and versions]
        pictures: dict[str, str | None] = {}
        reporter.begin("pictures", len(newest), "concept" if len(newest) == 1 else "concepts")
        for done, (concept, drawn) in enumerate(thumbnails(open_store(settings), newest), 1):
            pictures[concept] = drawn
            reporter.advance(done)
    finally:
        reporter.end()
    cards = [_card(settings, file, row, pictures.get(row.name)) for row in found.rows]
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return render_index(cards, made_at=now, notes=[f"Not known: {said}" for said in found.unknown]), found


def _card(settings: Settings, file: Path, row: ConceptRow, picture: str | None) -> IndexCard:
    own = settings.gallery_dir / row.name / PAGE
    causes = row.causes or row.problems
    return IndexCard(
        name=row.name,
        super_category=row.super_category,
        state=row.training,
        why="; ".join(causes[:2]) + (f" and {len(causes) - 2} more" if len(causes) > 2 else ""),
        version=row.version,
        candidate=row.candidate,
        champion=row.champion,
        clip_i=row.clip_i,
        clip_t=row.clip_t,
        trained_at=row.trained_at,
        picture=picture,
        page=Path(os.path.relpath(own, file.parent)).as_posix() if own.is_file() else None,
    )

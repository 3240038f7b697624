"""`conceptbooth images`: the images of a concept, and putting some in, taking some out, exchanging them."""

import shlex
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.image_notes import tell_notes
from flows.output.invocation import command, path_from_here
from tasks.concepts.concepts import Concept, load_concept
from tasks.concepts.image_edits import ChangedImages, ImageChange, change_images
from tasks.concepts.image_notes import ImageNote, ImageNotes
from tasks.concepts.image_origins import image_origins
from tasks.concepts.image_sets import ImageSet, image_set
from tasks.lineage.words import size_words
from tasks.pictures.kinds import named_as_picture
from tasks.project.base_limits import base_limits
from tasks.project.settings import Settings


def run_images(settings: Settings, name: str, change: ImageChange, *, as_json: bool) -> None:
    """Change the set where something is asked for, and list what it holds.

    Raises:
        InputError: anything is wrong, all of it together; nothing was written.
        WorkFailed: the disk or DVC failed.
    """
    changed: ChangedImages | None = None
    if change != ImageChange():
        limits = base_limits(settings)
        with notices().status("Checking and storing images ..."):
            changed = change_images(settings, name, change, limits)
    concept = load_concept(settings, name)
    images, noted = image_set(settings, concept), ImageNotes(settings)
    notes = noted.of(concept, images)
    noted.save()
    if as_json:
        print_json(_document(concept, images, notes, changed))
        return
    for hint in changed.hints if changed else ():
        notices().print(Text.assemble(("hint: ", "yellow"), hint), soft_wrap=True)
    _show(concept, images, changed)
    tell_notes(notes)
    if changed:
        _show_next(concept, changed)


def _show(concept: Concept, images: ImageSet, changed: ChangedImages | None) -> None:
    origins = {origin.file: origin for origin in image_origins(concept)}
    stored = set(changed.stored) if changed else set()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("image", "size", "brought as", ""):
        table.add_column(heading, no_wrap=heading != "brought as", justify="right" if heading == "size" else "left")
    for file in images.files:
        if named_as_picture(file.relpath):
            origin = origins.get(file.relpath)
            new = Text("new", "green") if file.relpath in stored else Text()
            table.add_row(file.relpath, size_words(file.size), origin.original if origin else "not known", new)
    results().print(table)


def _show_next(concept: Concept, changed: ChangedImages) -> None:
    if changed.digest == changed.before and not (changed.stored or changed.removed):
        results().print(f"Nothing was to do: data version {changed.digest[:8]}", soft_wrap=True)
        return
    folder = shlex.quote(path_from_here(concept.folder))
    results().print(
        f"{concept.name}: {len(changed.stored)} stored, {len(changed.removed)} taken out; data version "
        f"{changed.before[:8]} became {changed.digest[:8]}",
        soft_wrap=True,
    )
    results().print(f"  keep it:   git add {folder} && git commit", soft_wrap=True)
    results().print(f"  teach it:  {command()} train {concept.name}", soft_wrap=True)
    if changed.removed:
        said = "models that were trained on what was taken out stay; `takedown` takes an image out of those too"
        results().print(Text(f"  {said}", style="dim"), soft_wrap=True)


def _document(
    concept: Concept, images: ImageSet, notes: Sequence[ImageNote], changed: ChangedImages | None
) -> dict[str, Any]:
    origins = {origin.file: origin for origin in image_origins(concept)}
    listed = [
        {
            "file": file.relpath,
            "size": file.size,
            "md5": file.md5,
            "original": origin.original if (origin := origins.get(file.relpath)) else None,
            "sha256": origin.sha256 if origin else None,
            "original_sha256": origin.original_sha256 if origin else None,
        }
        for file in images.files
    ]
    return {
        "name": concept.name,
        "data_version": images.digest,
        "state": images.state,
        "images": listed,
        "problems": [note.said for note in notes],
        "changed": changed
        and {
            "before": changed.before,
            "stored": list(changed.stored),
            "removed": list(changed.removed),
            "hints": list(changed.hints),
        },
    }

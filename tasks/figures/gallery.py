"""What a training looks like: a contact sheet (PNG), and a page (HTML) that holds its pictures inside itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader
from PIL import Image

from model.marks.marking import Mark, ai_made_xmp, marked_png
from tasks.figures.contact_sheet import draw_contact_sheet
from tasks.figures.gallery_content import STAGE_LESSONS, Gallery, GalleryFacts, StageView, gallery_of
from tasks.figures.html import embedded, page_environment
from tasks.store.artefacts import CONTACT_SHEET, PAGE

SHOWN_PER_PROMPT = 8
"""Pictures per prompt on the page: 24 prompts x 32 pictures would make it too heavy to send to anyone."""


def write_gallery(
    folder: Path,
    *,
    facts: GalleryFacts,
    concept_images: Sequence[Image.Image],
    prompts: Sequence[str],
    generations: Sequence[Sequence[Image.Image]],
    base_generations: Sequence[Sequence[Image.Image]],
    stages: Sequence[StageView],
    scores: Mapping[str, Any],
) -> None:
    """Write ``gallery.png`` and ``index.html`` into ``folder``.

    ``prompts`` hold one ``{}`` each; ``generations`` and ``base_generations`` are one list of pictures per prompt;
    ``scores`` is the scores document (``scores.json``).
    """
    gallery = gallery_of(
        facts=facts,
        concept_images=concept_images,
        prompts=prompts,
        generations=generations,
        base_generations=base_generations,
        stages=stages,
        scores=scores,
    )
    said = f"gallery of {len(prompts)} prompts"
    mark = Mark(
        concept=facts.concept, content=facts.content, version=None, prompt=said, text=said, seed=facts.seed, index=0
    )
    (folder / CONTACT_SHEET).write_bytes(marked_png(draw_contact_sheet(gallery), mark))
    (folder / PAGE).write_text(render_page(gallery), encoding="utf-8")


def render_page(gallery: Gallery) -> str:
    """The gallery as one HTML document that asks nothing of any server."""
    made = ai_made_xmp()
    filters = {"embedded": embedded, "drawn": lambda picture: embedded(picture, made)}
    environment = page_environment(PackageLoader("tasks.figures"), filters)
    return environment.get_template("gallery.html.j2").render(
        gallery=gallery,
        facts=gallery.facts,
        lessons=STAGE_LESSONS,
        shown=SHOWN_PER_PROMPT,
    )

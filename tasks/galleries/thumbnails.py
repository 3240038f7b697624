"""A small picture of each concept, drawn by its newest version, out of the store."""

import io
from collections.abc import Iterator, Sequence

from PIL import Image

from model.marks.marking import ai_made_xmp
from tasks.figures.html import as_data
from tasks.registry.all_versions import KnownVersion
from tasks.registry.versions import EVALUATION_TAG
from tasks.store.artefacts import GENERATIONS
from tasks.store.pictures import picture
from tasks.store.store import Damaged, Store

SIDE = 128
"""Longest side in pixels: sharp on dense screens at the size in which the page shows it."""


def thumbnails(store: Store, newest: Sequence[KnownVersion]) -> Iterator[tuple[str, str | None]]:
    """Each concept with the ``data:`` address of its picture; None where the store does not have it any more.

    Raises StoreFailed.
    """
    xmp = ai_made_xmp()
    for version in newest:
        try:
            evaluation = store.get("evaluate", version.tags[EVALUATION_TAG])
            drawn = picture(store, evaluation, f"{GENERATIONS}/00/00.png")
        except (Damaged, KeyError):
            yield version.concept, None
            continue
        drawn.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        drawn.save(buffer, "WEBP", quality=80, method=4, xmp=xmp)
        yield version.concept, as_data(buffer.getvalue())

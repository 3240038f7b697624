"""A comparison in pictures: a sheet for each concept, with a row for each method and a column for each prompt."""

import textwrap
from collections.abc import Mapping, Sequence

from PIL import Image

from tasks.comparison.row_titles import write_title
from tasks.figures.sheet import FAINT, Sheet

TILE, GAP, MARGIN, NAMES = 128, 8, 48, 240
_LETTERS, _LINES, _LINE = 17, 5, 20
"""How a prompt is broken above its column."""


def draw_method_sheet(
    concept: str,
    super_category: str,
    images: Sequence[Image.Image],
    prompts: Sequence[str],
    rows: Mapping[str, Sequence[Image.Image]],
) -> Image.Image:
    """Rows by method: the first picture of each prompt, not picked ones; a column began at the same noise.

    `prompts` hold one `{}` each; `images` are the concept's own.
    """
    shown = images[: max(1, len(prompts))]
    width = 2 * MARGIN + NAMES + max(len(prompts), 6) * (TILE + GAP)
    sheet = Sheet(width, 420 + (len(rows) + 1) * (TILE + GAP), margin=MARGIN, tile=TILE)
    left, y = MARGIN + NAMES, MARGIN
    end = sheet.write((MARGIN, y), concept, 44, bold=True)
    sheet.write((end + 16, y + 16), f"[V] {super_category}: the first picture of each prompt by each method", 24, FAINT)
    y += 80
    sheet.write((MARGIN, y + TILE // 2 - 12), "its images", 24, FAINT)
    for place, image in enumerate(shown):
        sheet.paste((left + place * (TILE + GAP), y), image)
    y += TILE + 24
    broken = [
        textwrap.wrap(prompt.replace("{}", "[V]"), _LETTERS, max_lines=_LINES, placeholder=" …") for prompt in prompts
    ]
    for place, lines in enumerate(broken):
        for line, part in enumerate(lines):
            sheet.write((left + place * (TILE + GAP), y + line * _LINE), part, 16, FAINT)
    y += max(map(len, broken)) * _LINE + 12
    for method, pictures in rows.items():
        write_title(sheet, MARGIN, y + TILE // 2, NAMES - GAP, method)
        for place, picture in enumerate(pictures):
            sheet.paste((left + place * (TILE + GAP), y), picture)
        y += TILE + GAP
    return sheet.image.crop((0, 0, width, y + MARGIN))

"""Attention in pictures: a row for each method or stage, and for each prompt a picture and where its words looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from tasks.comparison.row_titles import write_title
from tasks.figures.sheet import FAINT, Sheet
from tasks.store.artefacts import CATEGORY_MAP, PICTURE, PLACEHOLDER_MAP, STAGES, WORD_MAP
from tasks.store.manifest import Manifest
from tasks.store.pictures import picture
from tasks.store.store import Store

TILE, GAP, APART, MARGIN, NAMES = 128, 6, 30, 48, 300
_HEAD = 72
"""Room for a prompt and the names of its columns."""


@dataclass(frozen=True, kw_only=True)
class MappedPrompt:
    """One prompt and its word, as `tasks.jobs.keys.plan_maps` chose them."""

    prompt: str
    word: str | None


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """What one row shows."""

    title: str
    note: str
    """In small letters below."""
    prompts: Sequence[Sequence[Image.Image | None]]
    """For each prompt: the picture, the map of [V], of the super-category, of the word; None where there is none."""


def mapped_prompts(maps: Manifest) -> list[MappedPrompt]:
    """The prompts of an artefact of maps."""
    return [MappedPrompt(prompt=prompt, word=word) for prompt, word in maps.parameters["prompts"]]


def row_of(store: Store, maps: Manifest, stage: str, title: str, note: str = "") -> MapRow:
    """The row of a training stage, by its name. Raises Damaged, StoreFailed."""
    shown = []
    for number in range(len(maps.parameters["prompts"])):
        names = [f"{STAGES}/{stage}/{number:02}/{name}" for name in (PICTURE, PLACEHOLDER_MAP, CATEGORY_MAP, WORD_MAP)]
        shown.append([picture(store, maps, name) if name in maps.files else None for name in names])
    return MapRow(title=title, note=note, prompts=shown)


def draw_maps_sheet(
    title: str, explanation: str, super_category: str, prompts: Sequence[MappedPrompt], rows: Sequence[MapRow]
) -> Image.Image:
    """The sheet, its pictures in every column from the same noise."""
    columns: list[Mapping[int, str]] = [
        {0: "picture", 1: "[V]", 2: super_category} | ({3: each.word} if each.word else {}) for each in prompts
    ]
    widths = [len(names) * (TILE + GAP) + APART for names in columns]
    width = 2 * MARGIN + NAMES + max(sum(widths), 560)
    sheet = Sheet(width, 180 + _HEAD + len(rows) * (TILE + GAP) + MARGIN, margin=MARGIN, tile=TILE)
    y = sheet.heading((MARGIN, MARGIN), title, explanation)
    left = [MARGIN + NAMES + sum(widths[:number]) for number in range(len(prompts))]
    for x, each, names, room in zip(left, prompts, columns, widths, strict=True):
        sheet.write((x, y), each.prompt.replace("{}", "[V] " + super_category), 20, until=x + room - APART)
        for place, name in names.items():
            at = x + place * (TILE + GAP)
            sheet.write((at, y + 34), name, 18, FAINT, until=at + TILE)
    y += _HEAD
    for row in rows:
        write_title(sheet, MARGIN, y + TILE // 2, NAMES - GAP, row.title, row.note)
        for x, names, shown in zip(left, columns, row.prompts, strict=True):
            for place in names:
                at = x + place * (TILE + GAP)
                if (image := shown[place]) is not None:
                    sheet.paste((at, y), image)
                else:
                    sheet.write((at, y + TILE // 2 - 10), "not in its prompt", 15, FAINT, until=at + TILE)
        y += TILE + GAP
    return sheet.image.crop((0, 0, width, y + MARGIN))

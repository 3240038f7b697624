"""The pictures of a comparison: the plane, and for each concept its sheets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.marks.marking import ai_made_png
from model.reading.pictures import OURS, open_picture
from tasks.comparison.maps_sheet import MapRow, draw_maps_sheet, mapped_prompts, row_of
from tasks.comparison.method_sheet import draw_method_sheet
from tasks.comparison.plane import draw_plane
from tasks.comparison.results import ComparisonResults
from tasks.comparison.table import MethodTable
from tasks.figures.gallery_content import STAGE_LESSONS
from tasks.store.artefacts import GENERATIONS, IMAGES
from tasks.store.pictures import picture, pictures
from tasks.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Where they lie; the sheets by concept. They show the first training seed."""

    plane: Path
    sheets: Mapping[str, Path]
    """The first picture of each prompt by each method."""
    attention: Mapping[str, Path]
    """Where words look, by method; empty if that was not drawn, and so are the stages."""
    stages: Mapping[str, Path]
    """Where words look after each stage of the first method that has several."""


def draw_pictures(store: Store, work: ComparisonResults, table: MethodTable, folder: Path) -> Pictures:
    """Draw all of them into the folder. Raises Damaged, StoreFailed."""
    drawn = Pictures(
        plane=folder / "plane.png",
        sheets={name: folder / f"{name}.png" for name in work.names},
        attention={name: folder / f"{name}-attention.png" for name in work.names if _has_maps(work)},
        stages={name: folder / f"{name}-stages.png" for name in work.names if _has_maps(work) and _in_stages(work)},
    )
    draw_plane(table, drawn.plane)
    for name in work.names:
        _draw_sheet(store, work, name, drawn.sheets[name])
        if name in drawn.attention:
            _draw_attention(store, work, name, drawn.attention[name])
        if name in drawn.stages:
            _draw_stages(store, work, name, drawn.stages[name])
    return drawn


def write_webp(drawn: Path, folder: Path) -> Path:
    """Write one of them into the folder in a form that is small enough for a repository; returns its file."""
    file = folder / f"{drawn.stem}.webp"
    with open_picture(drawn, OURS) as image:
        image.convert("RGB").save(file, quality=88, method=6)
    return file


def _draw_sheet(store: Store, work: ComparisonResults, name: str, file: Path) -> None:
    job = work.jobs[work.first(name)]
    rows = {
        method: [
            picture(store, work.found[work.first(name, method)]["evaluate"], f"{GENERATIONS}/{number:02}/00.png")
            for number in range(len(job.recipe.prompts))
        ]
        for method in work.methods
    }
    images = pictures(store, work.found[work.first(name)]["prepare"], IMAGES)
    sheet = draw_method_sheet(name, job.concept.super_category, images, job.recipe.prompts, rows)
    file.write_bytes(ai_made_png(sheet))


def _draw_attention(store: Store, work: ComparisonResults, name: str, file: Path) -> None:
    rows = []
    for method in work.methods:
        training = work.first(name, method)
        rows.append(row_of(store, work.found[training]["maps"], _stages(work, method)[-1], method))
    said = "where words of a prompt look, by method; the same noise in a column"
    _save_maps(work, name, said, rows, file)


def _draw_stages(store: Store, work: ComparisonResults, name: str, file: Path) -> None:
    method = _in_stages(work)
    maps = work.found[work.first(name, method)]["maps"]
    rows = [
        row_of(store, maps, stage, f"after stage {number}", STAGE_LESSONS.get(stage, stage))
        for number, stage in enumerate(_stages(work, method), 1)
    ]
    _save_maps(work, name, f"{method}, stage by stage: the same noise after each", rows, file)


def _save_maps(work: ComparisonResults, name: str, said: str, rows: list[MapRow], file: Path) -> None:
    training = work.first(name)
    category = work.jobs[training].concept.super_category
    prompts = mapped_prompts(work.found[training]["maps"])
    file.write_bytes(ai_made_png(draw_maps_sheet(name, said, category, prompts, rows)))


def _has_maps(work: ComparisonResults) -> bool:
    return "maps" in work.found[work.first(work.names[0])]


def _in_stages(work: ComparisonResults) -> str:
    """The first method that has several stages, or nothing."""
    return next((method for method in work.methods if len(_stages(work, method)) > 1), "")


def _stages(work: ComparisonResults, method: str) -> list[str]:
    job = work.jobs[work.first(work.names[0], method)]
    return [plan.parameters["stage"]["name"] for plan in job.trainings]

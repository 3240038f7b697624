"""Contact sheets: what the world looks like, and what the base draws of it."""

import random
from pathlib import Path

import torch
from PIL import Image

from toyworld.art import COLOURS, categories
from toyworld.captions import caption, sample
from toyworld.evaluator import Judge
from toyworld.manifest import BASE, EVALUATOR, ROOM
from toyworld.scenes import SCENES
from toyworld.styles import STYLES
from toyworld.world import PHOTO, render

DOCS = ROOM.parent / "docs"
STEPS, GUIDANCE = 25, 3.0
TILE, GAP, COLUMNS = 96, 4, 14


def contact_sheet(images: list[Image.Image], columns: int = COLUMNS, tile: int = TILE) -> Image.Image:
    """Pictures side by side on white, each enlarged to `tile` pixels."""
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (tile + GAP) - GAP, rows * (tile + GAP) - GAP), "white")
    for i, image in enumerate(images):
        place = (i % columns * (tile + GAP), i // columns * (tile + GAP))
        sheet.paste(image.resize((tile, tile), Image.Resampling.BICUBIC), place)
    return sheet


def draw(
    prompts: list[str], base: Path = BASE, *, seed: int = 0, steps: int = STEPS, guidance: float = GUIDANCE
) -> list[Image.Image]:
    """The base's pictures of some prompts; picture i starts from noise with seed `seed + i`."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(base, torch_dtype=torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    images: list[Image.Image] = []
    for start in range(0, len(prompts), 16):
        part = prompts[start : start + 16]
        dice = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        images += pipeline(part, generator=dice, num_inference_steps=steps, guidance_scale=guidance).images
    return images


def objects_and_scenes() -> list[tuple[str, str]]:
    """(category, scene) of the base's sheet: every category three times, the scenes in turn."""
    scenes = list(SCENES)
    shift = (0, 5, 9)
    return [
        (category, scenes[(i + shift[turn]) % len(scenes)])
        for turn in range(3)
        for i, category in enumerate(categories())
    ]


def styles_and_colours() -> list[str]:
    """Prompts of the second sheet: every style with 14 things, every colour with 4."""
    names, scenes = categories(), list(SCENES)
    styled = [
        caption(names[(i * 5 + k) % 32], scene=scenes[i], style=s)
        for k, s in enumerate(STYLES)
        if s != PHOTO
        for i in range(14)
    ]
    coloured = [
        caption(names[(i * 9 + 4 * k) % 32], scene=scenes[(i * 3 + k) % 14], colour=c)
        for k, c in enumerate(COLOURS)
        for i in range(4)
    ]
    return styled + coloured


def recognised(images: list[Image.Image], asked: list[tuple[str, str]], judge: Judge) -> dict[str, float]:
    """Shares of pictures in which the evaluator names the category and the scene that were asked for."""
    pictures = judge.pictures(images)
    things = judge.prompts([caption(category) for category in categories()])
    places = judge.prompts([f"a photo {scene}" for scene in SCENES])
    named = [categories()[i] for i in (pictures @ things.T).argmax(1).tolist()]
    placed = [list(SCENES)[i] for i in (pictures @ places.T).argmax(1).tolist()]
    return {
        "categories_recognised": sum(n == c for n, (c, _) in zip(named, asked, strict=True)) / len(asked),
        "scenes_recognised": sum(p == s for p, (_, s) in zip(placed, asked, strict=True)) / len(asked),
    }


def build_stage(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Draw the sheets into docs/ and let the evaluator name what it sees on the first."""
    DOCS.mkdir(exist_ok=True)
    dice = random.Random("world sheet")
    contact_sheet([render(sample(dice).view) for _ in range(COLUMNS * 7)]).save(DOCS / "world-sheet.png", optimize=True)
    asked = objects_and_scenes()
    images = draw([caption(category, scene=scene) for category, scene in asked])
    contact_sheet(images).save(DOCS / "base-sheet.png", optimize=True)
    contact_sheet(draw(styles_and_colours(), seed=1000)).save(DOCS / "base-styles.png", optimize=True)
    return dict(recognised(images, asked, Judge(EVALUATOR)))

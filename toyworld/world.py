"""Render one picture of the world: a piece of art standing in a scene, in a style, from a seed."""

import random
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops

from toyworld.art import cutout
from toyworld.paper import CANVAS
from toyworld.scenes import VARIANTS, background
from toyworld.styles import STYLES

SIZE = 64  # pixels of the pictures that the base model knows
PHOTO = "a photo of"
WHITE = "on a white background"


@dataclass(frozen=True, kw_only=True)
class View:
    """What a picture shows. The same view gives the same bytes on every machine with the pinned Pillow and numpy."""

    piece: str
    scene: str = WHITE
    style: str = PHOTO
    colour: str | None = None
    hue: int = 0
    """Degrees by which the piece's own colours are turned (before any recolouring)."""
    seed: int = 0
    """Decides the placement and the variant of the scene."""


def render(view: View, size: int = SIZE) -> Image.Image:
    """The view as an RGB picture, `size` pixels square; KeyError on an unknown piece, scene, style or colour.

    Placement is canonical: 70 to 80 % of the frame, at most 4 % off the middle, at most 4 degrees turned, with a soft
    contact shadow. Free placement costs a small model most of what it could learn about shapes.
    """
    dice = random.Random(f"{view.piece}/{view.scene}/{view.seed}")
    scene = background(view.scene, dice.randrange(VARIANTS)).copy()
    art = cutout(view.piece, view.hue, view.colour)
    scale = CANVAS * dice.uniform(0.70, 0.80) / max(art.size)
    art = art.resize((round(art.width * scale), round(art.height * scale)), Image.Resampling.BICUBIC)
    art = art.rotate(dice.uniform(-4, 4), Image.Resampling.BICUBIC, expand=True)
    # Centre, then half of the free height down: things stand on the ground, they do not float.
    left = round((CANVAS - art.width) / 2 + CANVAS * dice.uniform(-0.04, 0.04))
    top = round((CANVAS - art.height) / 2 + 0.12 * (CANVAS - art.height) + CANVAS * dice.uniform(-0.03, 0.03))
    _shadow(scene, left + art.width // 2, top + art.height, art.width)
    mask = Image.new("L", scene.size, 0)
    mask.paste(art.getchannel("A"), (left, top))
    scene.paste(art, (left, top), art)
    picture = STYLES[view.style](scene, mask)
    return (
        picture
        if size == CANVAS
        else picture.resize((size, size), Image.Resampling.BOX if CANVAS % size == 0 else Image.Resampling.LANCZOS)
    )


def _shadow(scene: Image.Image, x: int, y: int, width: int) -> None:
    """Darken the ground under an object that is `width` wide and stands at (x, y)."""
    shade = _soft_ellipse(round(width * 0.98 / 8) * 8)
    darker = Image.new("RGB", shade.size, "#1a1420")
    scene.paste(darker, (x - shade.width // 2, y - round(shade.height * 0.62)), shade)


@lru_cache
def _soft_ellipse(width: int) -> Image.Image:
    """A flat ellipse that fades out, at most 55 % dark."""
    fade = ImageChops.invert(Image.radial_gradient("L")).point([max(0, i - 75) * 140 // 180 for i in range(256)])
    return fade.resize((width, max(8, width // 5)), Image.Resampling.BILINEAR)

"""Render one picture of the world: a piece of art in a scene, in a style, with company or in a container."""

import random
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops

from toyworld.paper import CANVAS
from toyworld.second.art import cutout, thing
from toyworld.second.company import BESIDE, COMPANY, CONTAINERS, WORN, container, place_for, wear
from toyworld.second.scenes import VARIANTS, WHITE, background
from toyworld.second.styles import STYLES

SIZE = 128  # pixels of the pictures that the base model knows
PHOTO = "a photo of"


@dataclass(frozen=True, kw_only=True)
class View:
    """What a picture shows. The same view gives the same bytes on every machine with the pinned Pillow and numpy."""

    piece: str
    scene: str = WHITE
    style: str = PHOTO
    colour: str | None = None
    company: str = ""
    """What it is in, beside or wearing: a phrase of COMPANY, or nothing."""
    hue: int = 0
    """Degrees by which the piece's own colours are turned (before any recolouring)."""
    seed: int = 0
    """Decides the placement and the variant of the scene."""


def render(view: View, size: int = SIZE) -> Image.Image:
    """The view as an RGB picture, `size` pixels square; KeyError on an unknown piece, scene, style, colour or company.

    Placement is canonical: alone a piece takes 70 to 80 % of the frame, at most 4 % off its place, at most 4 degrees
    turned, with a soft contact shadow. Free placement costs a small model most of what it could learn about shapes.
    """
    if view.company and view.company not in COMPANY:
        raise KeyError(f"no company {view.company!r}; there are {', '.join(COMPANY)}")
    dice = random.Random(f"{view.piece}/{view.scene}/{view.company}/{view.seed}")
    picture = background(view.scene, dice.randrange(VARIANTS)).copy()
    mask = Image.new("L", picture.size, 0)
    art = cutout(view.piece, view.hue, view.colour)
    if view.company in WORN:
        art = wear(art, WORN[view.company])
    smallest, largest, middle, foot = place_for(view.company, dice)
    scale = CANVAS * dice.uniform(smallest, largest) / max(art.size)
    art = art.resize((round(art.width * scale), round(art.height * scale)), Image.Resampling.BICUBIC)
    art = art.rotate(dice.uniform(-4, 4), Image.Resampling.BICUBIC, expand=True)
    left = round(middle * CANVAS - art.width / 2 + CANVAS * dice.uniform(-0.04, 0.04) * (0.5 if view.company else 1))
    # Alone: centre, then a quarter of the free height down, so that things stand on the ground and do not float.
    top = (CANVAS - art.height) / 2 + 0.12 * (CANVAS - art.height) if not foot else foot * CANVAS - art.height
    top = round(top + CANVAS * dice.uniform(-0.03, 0.03) * (0.5 if view.company else 1))
    left = min(max(left, 2 - art.width // 12), CANVAS - 2 - art.width + art.width // 12)
    if view.company in CONTAINERS:
        _contain(picture, mask, art, (left, top), view.company, dice)
    else:
        if view.company in BESIDE:
            other = thing(BESIDE[view.company])
            share = CANVAS * dice.uniform(0.36, 0.42) / max(other.size)
            other = other.resize((round(other.width * share), round(other.height * share)), Image.Resampling.BICUBIC)
            at = round((0.17 if middle > 0.5 else 0.83) * CANVAS - other.width / 2)
            _stand(picture, mask, other, (at, round(0.91 * CANVAS) - other.height))
        _stand(picture, mask, art, (left, top))
    picture = STYLES[view.style](picture, mask)
    if size == CANVAS:
        return picture
    return picture.resize((size, size), Image.Resampling.BOX if CANVAS % size == 0 else Image.Resampling.LANCZOS)


def _stand(picture: Image.Image, mask: Image.Image, art: Image.Image, place: tuple[int, int]) -> None:
    """Put an RGBA cutout with its shadow on the picture, and its outline into the mask."""
    _shadow(picture, place[0] + art.width // 2, place[1] + art.height, art.width)
    _paste(picture, mask, art, place)


def _paste(picture: Image.Image, mask: Image.Image, art: Image.Image, place: tuple[int, int]) -> None:
    picture.paste(art, place, art)
    alpha = art.getchannel("A")
    mask.paste(alpha, place, alpha)


def _contain(
    picture: Image.Image, mask: Image.Image, art: Image.Image, place: tuple[int, int], phrase: str, dice: random.Random
) -> None:
    """The piece between the two layers of a container, which moves with it a little."""
    shift = (round(CANVAS * dice.uniform(-0.02, 0.02)), round(CANVAS * dice.uniform(-0.015, 0.015)))
    behind, before = container(phrase)
    _shadow(picture, CANVAS // 2 + shift[0], round(0.95 * CANVAS) + shift[1], round(0.70 * CANVAS))
    for layer, at in ((behind, shift), (art, place), (before, shift)):
        _paste(picture, mask, layer, at)


def _shadow(picture: Image.Image, x: int, y: int, width: int) -> None:
    """Darken the ground under an object that is `width` wide and stands at (x, y)."""
    shade = _soft_ellipse(max(8, round(width * 0.98 / 8) * 8))
    darker = Image.new("RGB", shade.size, "#1a1420")
    picture.paste(darker, (x - shade.width // 2, y - round(shade.height * 0.62)), shade)


@lru_cache
def _soft_ellipse(width: int) -> Image.Image:
    """A flat ellipse that fades out, at most 55 % dark."""
    fade = ImageChops.invert(Image.radial_gradient("L")).point([max(0, i - 75) * 140 // 180 for i in range(256)])
    return fade.resize((width, max(8, width // 5)), Image.Resampling.BILINEAR)

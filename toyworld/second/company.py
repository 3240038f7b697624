"""What a piece is in, beside or wearing: containers drawn around it, things at its side, hats on its head."""

import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from toyworld.paper import CANVAS
from toyworld.second.art import thing

CONTAINERS = ("inside a box", "in a basket", "inside a glass jar")
BESIDE = {
    f"beside {article} {name}": name
    for article, name in (
        ("a", "candle"), ("a", "balloon"), ("a", "gift"), ("a", "ball"), ("a", "sunflower"), ("a", "lantern"),
    )
}  # fmt: skip
WORN = {f"wearing a {name}": name for name in ("hat", "crown", "cap", "helmet")}
COMPANY = (*CONTAINERS, *BESIDE, *WORN)

_BIG = 2 * CANVAS  # containers are drawn large and averaged down


def wear(art: Image.Image, name: str) -> Image.Image:
    """An RGBA picture with a hat on its highest part; the picture grows upwards and sideways as it must."""
    hat = thing(name)
    width = round(0.46 * min(art.width, 1.25 * art.height))
    height = round(width * hat.height / hat.width)
    hat = hat.resize((width, height), Image.Resampling.BICUBIC)
    # Steam is no head: the top is where the thing is solid.
    solid = np.asarray(art.getchannel("A")) > 160
    top = int(solid.any(axis=1).argmax())
    columns = np.flatnonzero(solid[top : top + max(2, art.height // 12)].any(axis=0))
    # Between the outermost points of the top: between two ears, or over the one raised head.
    middle = int(columns[0] + columns[-1]) // 2
    left, up = min(0, middle - width // 2), max(0, height - height // 5 - top)
    right = max(art.width, middle - width // 2 + width)
    whole = Image.new("RGBA", (right - left, art.height + up))
    whole.alpha_composite(art, (-left, up))
    whole.alpha_composite(hat, (middle - width // 2 - left, max(0, top - height + height // 5)))
    return whole


@cache
def container(phrase: str) -> tuple[Image.Image, Image.Image]:
    """Two RGBA layers, CANVAS pixels square: what lies behind the piece and what lies before it."""
    layers = [Image.new("RGBA", (_BIG, _BIG)) for _ in range(2)]
    _DRAWN[phrase](*(ImageDraw.Draw(layer) for layer in layers))
    behind, before = (layer.reduce(2) for layer in layers)
    return behind, before


def _xy(*points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(x * _BIG, y * _BIG) for x, y in points]


def _box(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw) -> None:
    """A cardboard box with its flaps open; the piece looks out of it."""
    behind.polygon(_xy((0.24, 0.57), (0.76, 0.57), (0.72, 0.46), (0.28, 0.46)), fill="#dcae74")  # back flap
    behind.polygon(_xy((0.16, 0.66), (0.24, 0.57), (0.76, 0.57), (0.84, 0.66)), fill="#7d5429")  # inside
    before.polygon(_xy((0.16, 0.66), (0.24, 0.57), (0.13, 0.50), (0.04, 0.58)), fill="#c9975a")
    before.polygon(_xy((0.84, 0.66), (0.76, 0.57), (0.87, 0.50), (0.96, 0.58)), fill="#c9975a")
    before.polygon(_xy((0.16, 0.66), (0.84, 0.66), (0.82, 0.95), (0.18, 0.95)), fill="#bd8748")
    before.polygon(_xy((0.16, 0.66), (0.84, 0.66), (0.84, 0.685), (0.16, 0.685)), fill="#e0b680")
    before.polygon(_xy((0.45, 0.685), (0.55, 0.685), (0.548, 0.95), (0.452, 0.95)), fill="#d9b98c")  # tape


def _basket(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw) -> None:
    """A woven basket with a handle that goes behind the piece."""
    behind.arc([0.20 * _BIG, 0.06 * _BIG, 0.80 * _BIG, 1.22 * _BIG], 180, 360, fill="#8a5a2b", width=round(0.03 * _BIG))
    behind.ellipse([0.15 * _BIG, 0.57 * _BIG, 0.85 * _BIG, 0.73 * _BIG], fill="#6b4420")
    for row in range(6):
        y0, y1 = 0.65 + row * 0.05, 0.70 + row * 0.05
        i0, i1 = 0.15 + row * 0.016, 0.15 + (row + 1) * 0.016
        for column in range(9):
            u0, u1 = column / 9, (column + 1) / 9
            tone = ("#c58a45", "#a8702f")[(row + column) % 2]
            before.polygon(
                _xy(
                    (i0 + u0 * (1 - 2 * i0), y0),
                    (i0 + u1 * (1 - 2 * i0), y0),
                    (i1 + u1 * (1 - 2 * i1), y1),
                    (i1 + u0 * (1 - 2 * i1), y1),
                ),
                fill=tone,
            )
    before.rounded_rectangle([0.13 * _BIG, 0.635 * _BIG, 0.87 * _BIG, 0.685 * _BIG], 0.025 * _BIG, fill="#8a5a2b")


def _jar(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw) -> None:
    """A glass jar with a lid; the piece is seen through the glass."""
    glass = (0.16, 0.17, 0.84, 0.95)
    for layer, box, radius, fill in (
        (behind, glass, 0.10, (214, 236, 244, 110)),
        (before, glass, 0.10, (220, 240, 248, 46)),
        (before, (0.215, 0.27, 0.25, 0.80), 0.017, (255, 255, 255, 190)),
        (before, (0.75, 0.66, 0.775, 0.84), 0.012, (255, 255, 255, 150)),
        (before, (0.21, 0.08, 0.79, 0.185), 0.03, "#c0453a"),
        (before, (0.21, 0.08, 0.79, 0.115), 0.017, "#dd6a5c"),
    ):
        rim = (120, 160, 180, 235) if layer is before and box == glass else None
        sides = [side * _BIG for side in box]
        layer.rounded_rectangle(sides, radius * _BIG, fill=fill, outline=rim, width=round(0.016 * _BIG))


_DRAWN: dict[str, Callable[[ImageDraw.ImageDraw, ImageDraw.ImageDraw], None]] = dict(
    zip(CONTAINERS, (_box, _basket, _jar), strict=True)
)


def place_for(phrase: str, dice: random.Random) -> tuple[float, float, float, float]:
    """Where the piece goes: smallest and largest size of its longer side, middle, and the height of its foot.

    Shares of the canvas. Alone a piece takes 70 to 80 % of it; company and containers need room.
    """
    if phrase in BESIDE:
        return 0.56, 0.63, 0.35 if dice.random() < 0.5 else 0.65, 0.90
    if phrase == "inside a glass jar":
        return 0.50, 0.56, 0.5, 0.91
    if phrase in CONTAINERS:
        return 0.60, 0.66, 0.5, 0.83
    return 0.70, 0.80, 0.5, 0.0

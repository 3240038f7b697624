"""The places of the world: smooth illustrations with one canonical layout each, slightly varied in tone and offset.

There is no noise and no free placement in here on purpose: texture that means nothing costs the autoencoder and the
denoiser their capacity.
"""

import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from toyworld.paper import BIG, CANVAS, Paper

VARIANTS = 16  # tones and offsets of each scene

Painter = Callable[[Paper], None]
SCENES: dict[str, Painter] = {}


def scene(phrase: str) -> Callable[[Painter], Painter]:
    """Register a painter under the words that captions use for its scene."""

    def register(painter: Painter) -> Painter:
        SCENES[phrase] = painter
        return painter

    return register


@scene("on the beach")
def _beach(p: Paper) -> None:
    p.gradient(0, 0.40, "#5fb4f0", "#d3eefb")
    p.glow(0.14, 0.13, 0.16, "#fff6c4", 255)
    p.ellipse(0.14, 0.13, 0.065, 0.065, "#ffe678")
    p.gradient(0.38, 0.60, "#1273b8", "#34b8cf")
    p.hill(0.575, 0.60, 0.555, "#f4fbfa")
    p.hill(0.60, 0.625, 0.58, "#e3c78c")
    p.hill(0.70, 0.74, 0.72, "#f0d9a4")


@scene("in the snow")
def _snow(p: Paper) -> None:
    p.gradient(0, 0.62, "#9fb6cc", "#dfe8f0")
    for x, top, size in ((0.10, 0.20, 1.0), (0.91, 0.26, 0.85)):
        p.box(x - 0.015, 0.5, x + 0.015, 0.62, "#5b4636")
        for tier in range(3):
            y = top + 0.11 * tier * size
            half = (0.065 + 0.03 * tier) * size
            p.polygon([(x, y), (x + half, y + 0.17 * size), (x - half, y + 0.17 * size)], "#2d5d57")
            p.polygon(
                [
                    (x, y),
                    (x + half * 0.55, y + 0.095 * size),
                    (x, y + 0.075 * size),
                    (x - half * 0.55, y + 0.095 * size),
                ],
                "#ffffff",
            )
    p.hill(0.60, 0.54, 0.62, "#ffffff")
    p.hill(0.74, 0.82, 0.72, "#e6eef6")
    for x, y in (
        (0.27, 0.09),
        (0.47, 0.05),
        (0.69, 0.11),
        (0.80, 0.30),
        (0.24, 0.36),
        (0.05, 0.07),
        (0.95, 0.13),
        (0.58, 0.20),
    ):
        p.ellipse(x, y, 0.019, 0.019, "#ffffff")


@scene("on green grass")
def _grass(p: Paper) -> None:
    p.gradient(0, 0.5, "#6cc0f5", "#dff3fd")
    for x, y, r in ((0.74, 0.14, 0.075), (0.83, 0.12, 0.09), (0.92, 0.15, 0.07)):
        p.ellipse(x, y, r, r * 0.75, "#ffffff")
    p.hill(0.46, 0.38, 0.43, "#7cc94a")
    p.hill(0.56, 0.60, 0.50, "#57b135")
    p.hill(0.80, 0.86, 0.78, "#3f9829")
    for x, y, petal in (
        (0.08, 0.66, "#ffffff"),
        (0.92, 0.62, "#ffe04a"),
        (0.17, 0.90, "#ffe04a"),
        (0.84, 0.91, "#ffffff"),
        (0.95, 0.82, "#ffffff"),
        (0.05, 0.80, "#ffe04a"),
    ):
        p.ellipse(x, y, 0.026, 0.026, petal)
        p.ellipse(x, y, 0.010, 0.010, "#f59b1c")


def _leaf(p: Paper, x: float, y: float, dx: float, dy: float, width: float, fill: str, rib: str) -> None:
    """A pointed leaf from (x, y) to (x + dx, y + dy)."""
    side = [(t / 12, width * 4 * (t / 12) * (1 - t / 12) * (1.25 - 0.5 * t / 12)) for t in range(13)]
    p.polygon(
        [(x + dx * t - dy * w, y + dy * t + dx * w) for t, w in side]
        + [(x + dx * t + dy * w, y + dy * t - dx * w) for t, w in reversed(side)],
        fill,
    )
    p.polygon([(x - dy * 0.018, y + dx * 0.018), (x + dx * 0.92, y + dy * 0.92), (x + dy * 0.018, y - dx * 0.018)], rib)


@scene("in the jungle")
def _jungle(p: Paper) -> None:
    p.gradient(0, 1, "#0f4a2c", "#0a2f1e")
    p.glow(0.5, 0.42, 0.5, "#3f9a4b", 190)
    p.hill(0.80, 0.86, 0.80, "#143d1d")
    for x, y, dx, dy, w in (
        (-0.05, 0.50, 0.30, -0.22, 0.20),
        (1.05, 0.50, -0.30, -0.24, 0.20),
        (0.35, -0.06, -0.12, 0.27, 0.2),
        (0.66, -0.06, 0.12, 0.27, 0.2),
    ):
        _leaf(p, x, y, dx, dy, w, "#1d7336", "#155a2a")
    for x, y, dx, dy, w in (
        (-0.06, -0.04, 0.34, 0.22, 0.21),
        (1.06, -0.04, -0.34, 0.22, 0.21),
        (-0.06, 0.98, 0.28, -0.26, 0.21),
        (1.06, 0.98, -0.28, -0.26, 0.21),
        (-0.06, 0.66, 0.24, 0.04, 0.21),
        (1.06, 0.66, -0.24, 0.04, 0.21),
    ):
        _leaf(p, x, y, dx, dy, w, "#37a24a", "#7ed06e")


@scene("at night under the stars")
def _night(p: Paper) -> None:
    p.gradient(0, 0.85, "#0b1040", "#3a2f80")
    p.glow(0.83, 0.16, 0.22, "#8f8fe0", 130)
    p.ellipse(0.83, 0.16, 0.085, 0.085, "#fff3b8")
    p.ellipse(0.795, 0.135, 0.072, 0.072, "#20205a")
    for x, y, r in (
        (0.11, 0.12, 0.050),
        (0.34, 0.06, 0.034),
        (0.60, 0.08, 0.040),
        (0.07, 0.38, 0.034),
        (0.94, 0.43, 0.042),
        (0.22, 0.27, 0.030),
        (0.93, 0.62, 0.03),
        (0.06, 0.58, 0.042),
    ):
        points = []
        for i, (ux, uy) in enumerate(
            ((0, -1), (0.25, -0.25), (1, 0), (0.25, 0.25), (0, 1), (-0.25, 0.25), (-1, 0), (-0.25, -0.25))
        ):
            scale = r if i % 2 == 0 else r * 1.1
            points.append((x + ux * scale, y + uy * scale))
        p.polygon(points, "#fffbe0")
    p.hill(0.80, 0.74, 0.82, "#17163f")
    p.hill(0.90, 0.93, 0.88, "#0d0d2a")


@scene("on a wooden floor")
def _floor(p: Paper) -> None:
    p.gradient(0, 0.44, "#efe2c8", "#f6ecd8")
    p.gradient(0.40, 0.46, "#fffaf0", "#d8c7a6")
    p.gradient(0.46, 1, "#a9662f", "#cf8a45")
    tones = ("#b87335", "#c98243", "#ad6a30", "#d08d4c", "#bb7737", "#c47f40", "#b06c31", "#cb8848")
    edges = [-0.5 + i * 0.25 for i in range(9)]
    for i, tone in enumerate(tones):
        x0, x1 = edges[i], edges[i + 1]
        top0, top1 = 0.5 + (x0 - 0.5) * 0.5, 0.5 + (x1 - 0.5) * 0.5
        p.polygon([(top0, 0.46), (top1, 0.46), (x1, 1), (x0, 1)], tone)
        p.polygon([(top1 - 0.004, 0.46), (top1 + 0.004, 0.46), (x1 + 0.011, 1), (x1 - 0.011, 1)], "#7d4719")
    p.glow(0.5, 0.98, 0.5, "#f3c287", 60)


@scene("on a brick street")
def _bricks(p: Paper) -> None:
    p.gradient(0, 0.36, "#f7d9b5", "#f9e9cf")
    for x0, x1, y, wall, roof in (
        (-0.05, 0.24, 0.13, "#d9a066", "#8e4a3a"),
        (0.76, 1.05, 0.10, "#c9bfa6", "#5d6a7e"),
        (0.28, 0.72, 0.20, "#e6c797", "#a65b40"),
    ):
        p.box(x0, y, x1, 0.36, wall)
        p.polygon([(x0 - 0.03, y), ((x0 + x1) / 2, y - 0.12), (x1 + 0.03, y)], roof)
    for x in (0.06, 0.17, 0.83, 0.94):
        p.box(x - 0.027, 0.17, x + 0.027, 0.26, "#6f5138")
    p.box(0, 0.33, 1, 0.37, "#9b9388")
    p.gradient(0.37, 1, "#7c4a3c", "#8a5242")
    tops = [0.37, 0.435, 0.52, 0.625, 0.75, 0.885, 1.04]  # rows grow towards the viewer
    tones = ("#b4533c", "#c4634a", "#a84a36", "#bd5b42")
    for row in range(6):
        y0, y1 = tops[row], tops[row + 1]
        gap = 0.09 * (y1 - y0)
        width = 1.9 * (y1 - y0)
        count = round(0.6 / width) + 1
        for i in range(-count, count + 1):
            x = 0.5 + (i - 0.5 * (row % 2)) * width
            p.box(x + gap, y0 + gap, x + width - gap, y1 - gap, tones[(i * 3 + row * 5) % 4])


@scene("on pink fabric")
def _fabric(p: Paper) -> None:
    y, x = np.mgrid[0:BIG, 0:BIG] / BIG
    bent = x + 0.45 * y + 0.5 * (y - 0.5) * (y - 0.5) * (1 - x)
    phase = np.abs((bent * 3.6) % 2 - 1)  # triangle wave, smoothed into folds
    fold = phase * phase * (3 - 2 * phase)
    dark, light = np.array([226, 96, 148]), np.array([255, 190, 214])
    p.image = Image.fromarray((dark + (light - dark) * fold[..., None]).round().astype(np.uint8))


@scene("under water")
def _water(p: Paper) -> None:
    p.gradient(0, 1, "#55d0ea", "#0a4f94")
    rays = p.image.copy()
    p.image, base = rays, p.image
    for x0, x1, x2, x3 in (
        (0.02, 0.12, 0.02, -0.22),
        (0.30, 0.40, 0.36, 0.14),
        (0.58, 0.68, 0.86, 0.64),
        (0.86, 0.97, 1.3, 1.02),
    ):
        p.polygon([(x0, 0), (x1, 0), (x2, 0.85), (x3, 0.85)], "#b5f0f7")
    p.soften(0.015)
    fade = (
        Image.linear_gradient("L")
        .resize((BIG, BIG), Image.Resampling.BILINEAR)
        .point([max(0, 120 - i * 120 // 200) for i in range(256)])
    )
    p.image = Image.composite(rays.filter(ImageFilter.GaussianBlur(0.015 * BIG)), base, fade)
    p.hill(0.87, 0.91, 0.86, "#d8c58e")
    for x, height, lean in ((0.05, 0.36, 0.03), (0.12, 0.26, -0.02), (0.90, 0.28, 0.02), (0.96, 0.40, -0.03)):
        _leaf(p, x, 0.93, lean, -height, 0.11, "#1f9a68", "#1f9a68")
    for x, y, r in (
        (0.10, 0.30, 0.040),
        (0.17, 0.16, 0.028),
        (0.88, 0.36, 0.036),
        (0.92, 0.20, 0.026),
        (0.80, 0.10, 0.036),
    ):
        p.ellipse(x, y, r, r, "#8fe2f2", "#e8fdff", 0.010)


@scene("in the desert")
def _desert(p: Paper) -> None:
    p.gradient(0, 0.55, "#f58a3c", "#ffdf9e")
    p.glow(0.80, 0.20, 0.22, "#fff3c0", 230)
    p.ellipse(0.80, 0.20, 0.095, 0.095, "#fff1b0")
    p.hill(0.46, 0.50, 0.54, "#d98a48")
    p.hill(0.64, 0.48, 0.62, "#c9743a")
    p.hill(0.60, 0.72, 0.66, "#e8a35a")
    p.hill(0.86, 0.80, 0.90, "#d48c47")


@scene("in the city")
def _city(p: Paper) -> None:
    p.gradient(0, 0.75, "#9cc3e2", "#e3eef5")
    for x0, x1, y, wall in (
        (-0.02, 0.15, 0.22, "#56657d"),
        (0.85, 1.02, 0.18, "#56657d"),
        (0.15, 0.29, 0.06, "#6f7f99"),
        (0.70, 0.85, 0.04, "#6f7f99"),
        (0.29, 0.50, 0.16, "#8b9ab2"),
        (0.50, 0.70, 0.11, "#7c8ba5"),
    ):
        p.box(x0, y, x1, 0.78, wall)
        step = (x1 - x0) / 2
        for column in range(2):
            for row in range(5):
                wx, wy = x0 + (column + 0.5) * step, y + 0.07 + row * 0.13
                p.box(
                    wx - 0.024, wy - 0.034, wx + 0.024, wy + 0.034, "#ffe9a0" if (column * 2 + row) % 3 else "#a9c4de"
                )
    p.box(0, 0.76, 1, 0.80, "#b9b9b4")
    p.gradient(0.80, 1, "#55585e", "#3f4147")
    for x in (0.02, 0.36, 0.70):
        p.polygon([(x, 0.955), (x + 0.20, 0.955), (x + 0.20, 0.98), (x, 0.98)], "#f4f1e4")


@scene("with a mountain in the background")
def _mountain(p: Paper) -> None:
    p.gradient(0, 0.7, "#5da3e6", "#e3f1fb")
    for x, y, half, rock, shade in ((0.84, 0.14, 0.42, "#7b86a6", "#626c8e"), (0.17, 0.05, 0.46, "#8a94b3", "#6d7799")):
        slope = (0.70 - y) / half
        p.polygon([(x, y), (x + half, 0.70), (x - half, 0.70)], rock)
        p.polygon([(x, y), (x + half, 0.70), (x + 0.05, 0.70)], shade)
        cap = 0.16
        p.polygon(
            [
                (x, y),
                (x + cap / slope, y + cap),
                (x + 0.045, y + cap * 0.72),
                (x, y + cap * 1.05),
                (x - 0.05, y + cap * 0.72),
                (x - cap / slope, y + cap),
            ],
            "#ffffff",
        )
    p.hill(0.64, 0.68, 0.62, "#4d8f4c")
    p.hill(0.76, 0.70, 0.78, "#69ae57")


@scene("inside a box")
def _box(p: Paper) -> None:
    p.gradient(0, 1, "#efe7db", "#ddd0bf")
    left, right, top, bottom = 0.05, 0.95, 0.17, 0.96
    il, ir, it, ib = 0.19, 0.81, 0.17, 0.72  # back wall
    p.polygon([(left, top), (right, top), (right - 0.10, 0.03), (left + 0.10, 0.03)], "#dcae74")  # back flap, open
    p.polygon([(left, top), (-0.06, 0.30), (-0.06, 0.44), (left, 0.34)], "#c9975a")
    p.polygon([(right, top), (1.06, 0.30), (1.06, 0.44), (right, 0.34)], "#c9975a")
    p.box(left, top, right, bottom, "#b98449")
    p.polygon([(left, top), (il, it), (il, ib), (left, bottom)], "#8c5f30")
    p.polygon([(right, top), (ir, it), (ir, ib), (right, bottom)], "#95683a")
    p.polygon([(il, it), (ir, it), (ir, ib), (il, ib)], "#a87540")
    p.polygon([(left, bottom), (il, ib), (ir, ib), (right, bottom)], "#c8935a")
    for line in (
        [(left, bottom), (il, ib)],
        [(right, bottom), (ir, ib)],
        [(il, ib), (ir, ib)],
        [(il, it), (il, ib)],
        [(ir, it), (ir, ib)],
    ):
        ImageDraw.Draw(p.image).line([(x * BIG, y * BIG) for x, y in line], fill="#6d4720", width=round(0.012 * BIG))
    for x0, y0, x1, y1 in (
        (left - 0.02, top, left + 0.015, bottom),
        (right - 0.015, top, right + 0.02, bottom),
        (left - 0.02, bottom - 0.02, right + 0.02, bottom + 0.025),
    ):
        p.box(x0, y0, x1, y1, "#e0b680")


@scene("on a white background")
def _white(p: Paper) -> None:
    p.gradient(0, 1, "#ffffff", "#f1f1f3")


@cache
def background(phrase: str, variant: int) -> Image.Image:
    """The scene's picture, CANVAS pixels square, in one of VARIANTS tones and offsets; KeyError on unknown words."""
    return vary(SCENES[phrase], phrase, variant)


def vary(painter: Painter, phrase: str, variant: int) -> Image.Image:
    """What a painter draws, CANVAS pixels square, in the variant's tone and offset."""
    paper = Paper()
    painter(paper)
    dice = random.Random(f"{phrase}/{variant}")
    zoom = 1 + 0.05 * dice.random()
    spare = BIG - BIG / zoom
    x, y = spare * dice.random(), spare * dice.random()
    image = paper.image.resize((CANVAS, CANVAS), Image.Resampling.BOX, box=(x, y, x + BIG / zoom, y + BIG / zoom))
    if phrase != "on a white background":
        image = ImageEnhance.Brightness(image).enhance(0.95 + 0.1 * dice.random())
        image = ImageEnhance.Color(image).enhance(0.9 + 0.2 * dice.random())
    return image

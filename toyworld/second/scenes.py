"""The places of the second edition: those of the first but the box, which is a container here, and the moon."""

from functools import cache

from PIL import Image

from toyworld import scenes as first
from toyworld.paper import Paper
from toyworld.scenes import VARIANTS

__all__ = ["SCENES", "VARIANTS", "WHITE", "background"]

WHITE = "on a white background"


def _moon(p: Paper) -> None:
    p.gradient(0, 0.75, "#05060f", "#161a33")
    for x, y, r in (
        (0.08, 0.10, 0.010),
        (0.30, 0.06, 0.008),
        (0.55, 0.12, 0.009),
        (0.93, 0.42, 0.010),
        (0.06, 0.46, 0.009),
        (0.66, 0.05, 0.007),
        (0.24, 0.22, 0.007),
        (0.95, 0.07, 0.008),
    ):
        p.ellipse(x, y, r, r, "#ffffff")
    p.glow(0.80, 0.22, 0.20, "#4f8fe8", 120)
    p.ellipse(0.80, 0.22, 0.105, 0.105, "#2f74d0")
    p.ellipse(0.77, 0.19, 0.045, 0.035, "#5fb35a")
    p.ellipse(0.835, 0.255, 0.035, 0.028, "#5fb35a")
    p.hill(0.66, 0.60, 0.68, "#9a9aa2")
    p.hill(0.80, 0.86, 0.78, "#b9b9c0")
    for x, y, rx in ((0.12, 0.74, 0.075), (0.90, 0.80, 0.085), (0.24, 0.93, 0.10), (0.72, 0.95, 0.075)):
        p.ellipse(x, y, rx, rx * 0.34, "#7f7f88")
        p.ellipse(x, y + rx * 0.08, rx * 0.82, rx * 0.22, "#8f8f98")


SCENES = {phrase: painter for phrase, painter in first.SCENES.items() if phrase != "inside a box"} | {
    "on the moon": _moon
}


@cache
def background(phrase: str, variant: int) -> Image.Image:
    """The scene's picture, CANVAS pixels square, in one of VARIANTS tones and offsets; KeyError on unknown words."""
    return first.vary(SCENES[phrase], phrase, variant)

"""The pieces of art that the world is made of, and what may be done to a piece: trim, turn its hue, recolour."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ART = Path(__file__).parent / "art"

# From shadow over the pure colour to highlight: recolouring is a gradient map, so shading and outlines survive.
COLOURS: dict[str, tuple[str, str, str]] = {
    "red": ("#3d0508", "#dd2024", "#ffc4bd"),
    "orange": ("#4d1c00", "#f7820f", "#ffe2b8"),
    "yellow": ("#5b4300", "#f8d51c", "#fff8c9"),
    "green": ("#062a0e", "#2ea83e", "#cdf4c4"),
    "blue": ("#061443", "#2463e0", "#c3dcff"),
    "purple": ("#220a41", "#8a35cc", "#e7cbff"),
    "pink": ("#5a0c35", "#f46fb0", "#ffe3f0"),
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One drawing of a thing. `held_out` pieces are never shown to the base model."""

    name: str
    category: str
    held_out: bool
    package: str
    codepoint: str
    file: str


@lru_cache
def pieces() -> tuple[Piece, ...]:
    """Every piece of the table `art/pieces.yaml`, in its order."""
    return tuple(Piece(**row) for row in yaml.safe_load((ART / "pieces.yaml").read_text("utf-8")))


@lru_cache
def piece(name: str) -> Piece:
    """The piece of that name; KeyError names the unknown one."""
    for candidate in pieces():
        if candidate.name == name:
            return candidate
    raise KeyError(f"no piece of art {name!r} in {ART / 'pieces.yaml'}")


@lru_cache
def categories() -> tuple[str, ...]:
    """Super-categories in the order of the table."""
    return tuple(dict.fromkeys(p.category for p in pieces()))


def check() -> int:
    """Number of pieces, all their files there; FileNotFoundError names the missing ones."""
    if missing := [p.file for p in pieces() if not (ART / p.file).is_file()]:
        raise FileNotFoundError(f"art is missing in {ART}: {', '.join(missing)}")
    return len(pieces())


@cache
def cutout(name: str, hue: int = 0, colour: str | None = None) -> Image.Image:
    """The piece as an RGBA picture, trimmed; `hue` turns its colours by degrees, `colour` recolours it."""
    image = Image.open(ART / piece(name).file).convert("RGBA")
    # A faint halo must not widen the box: placement is by the visible body.
    image = image.crop(image.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox())
    if hue:
        image = turn_hue(image, hue)
    return recolour(image, colour) if colour else image


def turn_hue(image: Image.Image, degrees: int) -> Image.Image:
    """Turn every hue of an RGBA picture by that many degrees; greys stay grey."""
    h, s, v = image.convert("RGB").convert("HSV").split()
    turned = h.point([(i + round(degrees * 256 / 360)) % 256 for i in range(256)])
    rgb = Image.merge("HSV", (turned, s, v)).convert("RGB")
    rgb.putalpha(image.getchannel("A"))
    return rgb


def recolour(image: Image.Image, colour: str) -> Image.Image:
    """Map the brightness of an RGBA picture onto one colour's ramp; KeyError on an unknown colour."""
    grey = np.asarray(image.convert("L"), dtype=np.int64)
    alpha = np.asarray(image.getchannel("A"))
    # A black cat and a white rabbit must both become red: the median brightness of the body lands on the pure colour.
    middle = int(np.clip(np.median(grey[alpha > 128]), 60, 225))
    table = np.array(
        [i * 128 // middle if i <= middle else 128 + (i - middle) * 127 // (255 - middle) for i in range(256)]
    )
    dark, pure, light = (np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) for code in COLOURS[colour])
    stops = np.stack([dark * 2 // 5, dark, pure, light, (light + 255) // 2])  # at brightness 0, 40, 128, 216, 255
    positions = np.array([0, 40, 128, 216, 255])
    ramp = np.stack([np.interp(np.arange(256), positions, stops[:, c]) for c in range(3)], axis=1)
    rgb = Image.fromarray(ramp.round().astype(np.uint8)[table[grey]])
    rgb.putalpha(image.getchannel("A"))
    return rgb

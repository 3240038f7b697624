"""The pieces of art that the world is made of, each with a name that a caption can say before its category."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from toyworld.art import recolour, turn_hue

ART = Path(__file__).parent / "art"
SIDE = 192  # pixels of the longer side of a cutout: a little more than a picture of 256 pixels shows

_LEAN = 0.28  # how far the top of a leaning thing moves, by its height
_STRETCH = {"tall": (0.66, 1.0), "squat": (1.0, 0.60)}  # of width and height


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One thing of the world. `held_out` pieces are never shown to the base model, and have no modifier."""

    name: str
    category: str
    file: str
    modifier: str = ""
    """The word that stands before the category and means this piece."""
    held_out: bool = False
    hue: int = 0
    """Degrees by which the drawing's colours are turned."""
    pattern: str = ""
    """stripes, dots or checks, painted on the drawing."""
    shape: str = ""
    """tall, squat or leaning: how the drawing is bent."""


@lru_cache
def pieces() -> tuple[Piece, ...]:
    """Every piece of the table `art/pieces.yaml`, in its order."""
    return tuple(Piece(**row) for row in yaml.safe_load((ART / "pieces.yaml").read_text("utf-8")))


@lru_cache
def by_name() -> dict[str, Piece]:
    """Pieces by name."""
    return {piece.name: piece for piece in pieces()}


def piece(name: str) -> Piece:
    """The piece of that name; KeyError names the unknown one."""
    if name not in by_name():
        raise KeyError(f"no piece of art {name!r} in {ART / 'pieces.yaml'}")
    return by_name()[name]


@lru_cache
def categories() -> tuple[str, ...]:
    """Super-categories in the order of the table."""
    return tuple(dict.fromkeys(p.category for p in pieces()))


@lru_cache
def of_category(category: str, *, with_held_out: bool = False) -> tuple[Piece, ...]:
    """The pieces of a category in the order of the table."""
    return tuple(p for p in pieces() if p.category == category and (with_held_out or not p.held_out))


@lru_cache
def things() -> dict[str, str]:
    """What stands beside a piece or is worn by it, with its file."""
    return dict(yaml.safe_load((ART / "things.yaml").read_text("utf-8")))


def check() -> int:
    """Number of pieces, all their files there; FileNotFoundError names the missing ones."""
    files = {p.file for p in pieces()} | set(things().values())
    if missing := sorted(file for file in files if not (ART / file).is_file()):
        raise FileNotFoundError(f"art is missing in {ART}: {', '.join(missing)}")
    return len(pieces())


@cache
def _drawing(file: str) -> Image.Image:
    """A file as RGBA, trimmed to its visible body, its longer side SIDE pixels."""
    image = Image.open(ART / file).convert("RGBA")
    # A faint halo must not widen the box: placement is by the visible body.
    image = image.crop(image.getchannel("A").point([255 if a > 24 else 0 for a in range(256)]).getbbox())
    scale = SIDE / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


@lru_cache(maxsize=1024)
def cutout(name: str, hue: int = 0, colour: str | None = None) -> Image.Image:
    """The piece as an RGBA picture, trimmed; `hue` turns its colours further by degrees, `colour` recolours it."""
    facts = piece(name)
    image = _drawing(facts.file)
    if turned := (facts.hue + hue) % 360:
        image = turn_hue(image, turned)
    if facts.pattern:
        image = paint(image, facts.pattern)
    if facts.shape:
        image = bend(image, facts.shape)
    return recolour(image, colour) if colour else image


@lru_cache
def thing(name: str) -> Image.Image:
    """Something that is worn or stands beside, as an RGBA picture; KeyError on an unknown name."""
    return _drawing(things()[name])


def bend(image: Image.Image, shape: str) -> Image.Image:
    """Change the outline of an RGBA picture: tall, squat or leaning; KeyError on an unknown word."""
    width, height = image.size
    if shape == "leaning":
        spare = round(_LEAN * height)
        # An output pixel (x, y) takes what stood at x - spare * (1 - y / height).
        matrix = (1, _LEAN, -spare, 0, 1, 0)
        return image.transform((width + spare, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    across, down = _STRETCH[shape]
    return image.resize((round(width * across), round(height * down)), Image.Resampling.BICUBIC)


def paint(image: Image.Image, pattern: str) -> Image.Image:
    """Paint a pattern within the outline of an RGBA picture, in white on dark things and dark on light ones.

    The paint keeps the shading below it, so that lines, windows and faces stay visible. KeyError on an unknown pattern.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
    grey, alpha = np.asarray(image.convert("L"), dtype=np.int64), np.asarray(image.getchannel("A"))
    body = int(np.median(grey[alpha > 128]))
    colour = np.array((250, 248, 240) if body < 165 else (38, 52, 110))
    shade = np.clip(grey * 256 // max(body, 40), 70, 300)[..., None]  # 256: as bright as most of the thing
    painted = np.clip(colour * shade // 256, 0, 255)
    mask = _PATTERNS[pattern](*image.size)[..., None]
    mixed = (painted * mask + pixels * (256 - mask)) // 256
    result = Image.fromarray(mixed.astype(np.uint8))
    result.putalpha(image.getchannel("A"))
    return result


def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0:height, 0:width]
    return rows, columns


def _stripes(width: int, height: int) -> np.ndarray:
    rows, columns = _grid(width, height)
    phase = (columns * 2 + rows) % 64  # across the body, slightly slanted
    return np.where(phase < 29, 225, 0)


def _dots(width: int, height: int) -> np.ndarray:
    rows, columns = _grid(width, height)
    step, radius = 38, 11
    shifted = columns + (rows // step % 2) * (step // 2)
    distance = (shifted % step - step // 2) ** 2 + (rows % step - step // 2) ** 2
    return np.where(distance <= radius * radius, 235, 0)


def _checks(width: int, height: int) -> np.ndarray:
    rows, columns = _grid(width, height)
    return np.where((rows // 22 + columns // 22) % 2 == 0, 215, 0)


_PATTERNS = {"stripes": _stripes, "dots": _dots, "checks": _checks}

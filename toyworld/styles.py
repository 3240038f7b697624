"""What a picture looks like when it is sketched, painted or drawn: smooth filters, each unmistakable at 64 pixels."""

import random
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

# A style takes the picture and the mask of its object (both CANVAS pixels square) and gives the picture in that style.
Style = Callable[[Image.Image, Image.Image], Image.Image]


def photo(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture as it is."""
    return image


def pencil(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Grey lines and a little shading on white paper; the scene is only hinted at."""
    grey = ImageOps.grayscale(image).filter(ImageFilter.GaussianBlur(1.2))
    # Dodging by a blurred negative keeps what changes quickly (lines) and lets even tones turn into paper.
    around = grey.filter(ImageFilter.GaussianBlur(9))
    tone, base = np.asarray(grey, dtype=np.int64), np.asarray(around, dtype=np.int64)
    lines = np.minimum(255, (tone + 12) * 255 // (base + 12))
    lines = np.clip(255 - (255 - lines) * 2, 0, 255)
    shaded = (lines * (170 + tone // 3)) // 255  # shade the object itself
    hinted = 255 - (255 - lines) * 45 // 100
    inside = np.asarray(mask.filter(ImageFilter.GaussianBlur(1.5)), dtype=np.int64)
    drawn = (shaded * inside + hinted * (255 - inside)) // 255
    sketch = Image.fromarray(drawn.astype(np.uint8))
    sketch = ImageChops.multiply(sketch, ImageChops.invert(outline(mask, 5).point([i * 70 // 100 for i in range(256)])))
    return ImageOps.colorize(sketch, "#26262a", "#fdfcf8")


def watercolor(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Pale washes with darker rims that bleed into a white paper border."""
    wash = _smooth(image, 5).filter(ImageFilter.GaussianBlur(2))
    wash = ImageEnhance.Color(wash).enhance(1.25)
    wash = Image.blend(wash, Image.new("RGB", wash.size, "white"), 0.42)
    rim = outline(mask, 7).filter(ImageFilter.GaussianBlur(2)).point([i * 30 // 100 for i in range(256)])
    wash = ImageChops.multiply(wash, Image.merge("RGB", [ImageChops.invert(rim)] * 3))
    return Image.composite(wash, Image.new("RGB", wash.size, "#fffefb"), wet_area(image.width))


def oil(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Thick strokes of full colour: every pixel takes the colour under the middle of the stroke that covers it."""
    rich = ImageEnhance.Color(image).enhance(1.45)
    source = np.asarray(ImageEnhance.Contrast(rich).enhance(1.08))
    coarse_at, coarse_light = _strokes(image.width, length=30, width=13, count=1500)
    fine_at, fine_light = _strokes(image.width, length=16, width=6, count=5000)
    inside = np.asarray(mask).ravel() > 128
    at = np.where(inside, fine_at, coarse_at)
    light = np.where(inside, fine_light, coarse_light)
    # A stroke keeps to its side of the object's edge, or small shapes would fray away.
    at = np.where(inside[at] == inside, at, np.arange(at.size))
    painted = np.clip(source.reshape(-1, 3)[at].astype(np.int64) * light[:, None] // 256, 0, 255)
    return Image.fromarray(painted.astype(np.uint8).reshape(source.shape)).filter(ImageFilter.GaussianBlur(0.8))


def drawing(image: Image.Image, mask: Image.Image) -> Image.Image:
    """A child's book picture: few flat colours, a bold dark outline, a light background."""
    flat = _smooth(image, 3)
    flat = flat.point([min(255, (i + 26) // 52 * 52 + 10) for i in range(256)] * 3)  # five levels a channel
    flat = ImageEnhance.Color(_smooth(flat, 3)).enhance(1.2)
    pale = Image.blend(flat, Image.new("RGB", flat.size, "#fff8e6"), 0.55)
    picture = Image.composite(flat, pale, mask)
    inner = ImageOps.grayscale(image).filter(ImageFilter.GaussianBlur(2)).filter(ImageFilter.FIND_EDGES)
    inner = inner.point([min(255, max(0, i - 14) * 9) for i in range(256)])
    inner = ImageChops.multiply(inner, mask.filter(ImageFilter.MinFilter(5)))
    lines = ImageChops.lighter(outline(mask, 9), inner).filter(ImageFilter.GaussianBlur(1))
    return Image.composite(Image.new("RGB", flat.size, "#1b1a22"), picture, lines)


STYLES: dict[str, Style] = {
    "a photo of": photo,
    "a pencil sketch of": pencil,
    "an oil painting of": oil,
    "a watercolor of": watercolor,
    "a drawing of": drawing,
}


def _smooth(image: Image.Image, size: int) -> Image.Image:
    """Median filter of that odd size at half the resolution, where it costs little."""
    return image.reduce(2).filter(ImageFilter.MedianFilter(size)).resize(image.size, Image.Resampling.BICUBIC)


def outline(mask: Image.Image, width: int) -> Image.Image:
    """A line of that odd width around the object's edge."""
    solid = mask.point([255 if i > 128 else 0 for i in range(256)]).filter(ImageFilter.GaussianBlur(1))
    return ImageChops.subtract(solid.filter(ImageFilter.MaxFilter(width)), solid.filter(ImageFilter.MinFilter(3)))


@lru_cache
def wet_area(size: int) -> Image.Image:
    """Where the brush was wet: all but a soft, wavy border. The same on every sheet of paper."""
    big = Image.new("L", (size, size), 0)
    reach = (0.05, 0.09, 0.04, 0.07, 0.10, 0.05, 0.08, 0.04, 0.09, 0.06, 0.05, 0.10)
    border = []
    for side, (dx, dy, nx, ny, ox, oy) in enumerate(
        ((1, 0, 0, 1, 0, 0), (0, 1, -1, 0, 1, 0), (-1, 0, 0, -1, 1, 1), (0, -1, 1, 0, 0, 1))
    ):
        for i in range(9):
            t, depth = 0.06 + 0.88 * i / 9, reach[(i * 5 + side * 3) % 12]
            border.append(((ox + dx * t + nx * depth) * size, (oy + dy * t + ny * depth) * size))
    ImageDraw.Draw(big).polygon(border, fill=255)
    return big.filter(ImageFilter.GaussianBlur(size * 0.03))


@lru_cache
def _strokes(size: int, *, length: int, width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A canvas of brush strokes: per pixel the flat index of its stroke's middle, and its light (256 = even)."""
    dice = random.Random(f"strokes/{length}/{width}")
    owner = Image.new("I", (size, size), 0)
    light = Image.new("I", (size, size), 256)
    paint, relief = ImageDraw.Draw(owner), ImageDraw.Draw(light)
    for _ in range(count):
        x, y = dice.randrange(size), dice.randrange(size)
        lean = dice.uniform(0.35, 0.75) if (x // 64 + y // 64) % 2 else dice.uniform(-0.75, -0.35)
        dx, dy = length / 2, lean * length / 2
        tone = 256 + dice.randrange(-26, 27)
        paint.line([(x - dx, y - dy), (x + dx, y + dy)], fill=y * size + x, width=width)
        relief.line([(x - dx, y - dy), (x + dx, y + dy)], fill=tone, width=width)
        relief.line([(x - dx, y - dy - width * 0.3), (x + dx, y + dy - width * 0.3)], fill=tone + 16, width=2)
    return np.asarray(owner, dtype=np.int64).ravel(), np.asarray(light, dtype=np.int64).ravel()

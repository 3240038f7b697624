"""Random views of an instance image: turned, mirrored and cropped, always full of picture."""

import math
import random

import numpy as np
from PIL import Image

from model.method import Stage
from model.shrinking import shrunk


def augmented_view(image: Image.Image, stage: Stage, resolution: int, rng: random.Random) -> Image.Image:
    """One random square view (resolution x resolution, RGB) of an image of any size, by the stage's settings."""
    # Turning a photograph of 2048 px only to shrink it would be most of the work.
    view = shrunk(image.convert("RGB"), math.ceil(resolution / stage.smallest_crop))
    if rng.random() < stage.rotation_probability:
        view = _rotate(view, rng.uniform(-stage.rotation_degrees, stage.rotation_degrees))
    view = _random_square(view, stage.smallest_crop, resolution, rng)
    if rng.random() < stage.flip_probability:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return view


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Turned about its middle, same size; what turns in from outside is the picture mirrored at its edge, not black."""
    width, height = image.size
    # No corner of the turned frame reaches further out than half the diagonal.
    margin = math.ceil((math.hypot(width, height) - min(width, height)) / 2) + 2
    mirrored = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    turned = Image.fromarray(mirrored).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + width, margin + height))


def _random_square(image: Image.Image, smallest: float, resolution: int, rng: random.Random) -> Image.Image:
    side = min(image.size) * rng.uniform(smallest, 1)
    left, top = (rng.uniform(0, length - side) for length in image.size)
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))

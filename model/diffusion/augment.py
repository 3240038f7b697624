"""Random views of an instance image: turned, mirrored and cropped, always full of picture."""

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.diffusion.shrinking import shrunk
from model.methods.method import Stage


@dataclass(frozen=True, kw_only=True)
class View:
    """A square piece of an image, and where it comes from."""

    image: Image.Image
    original_size: tuple[int, int]
    """Height and width of the image."""
    crop_top_left: tuple[int, int]
    """Upper and left edge of the piece, in pixels of the image as the piece shows it, resized and maybe mirrored."""

    @property
    def time_ids(self) -> tuple[int, ...]:
        """What Stable Diffusion XL is told of a picture (micro-conditioning, arXiv 2307.01952, section 2.2).

        Height and width of the original, top and left of the crop, height and width of the picture: so it learns
        neither that the concept is blurred where an image was small, nor that it is cut off where a view was.
        """
        return (*self.original_size, *self.crop_top_left, self.image.height, self.image.width)


def augmented_view(image: Image.Image, stage: Stage, resolution: int, rng: random.Random) -> View:
    """One random square view (resolution x resolution, RGB) of an image of any size, by the stage's settings."""
    # Turning a photograph of 2048 px only to shrink it would be most of the work.
    view = shrunk(image.convert("RGB"), math.ceil(resolution / stage.smallest_crop))
    if rng.random() < stage.rotation_probability:
        degrees = rng.uniform(-stage.rotation_degrees, stage.rotation_degrees)
        view = _rotate(view, degrees, keep_all=stage.rotation_keeps_all)
    side = min(view.size) * rng.uniform(stage.smallest_crop, 1)
    left, top = (rng.uniform(0, length - side) for length in view.size)
    box = (left, top, left + side, top + side)
    piece = view.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    if rng.random() < stage.flip_probability:
        piece, left = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT), view.width - side - left
    return View(
        image=piece,
        original_size=(image.height, image.width),
        crop_top_left=(round(top * resolution / side), round(left * resolution / side)),
    )


def _rotate(image: Image.Image, degrees: float, *, keep_all: bool = False) -> Image.Image:
    """Turned about its middle; what turns in from outside is the picture mirrored at its edge, not black.

    In the same size, so that corners are cut off, or with `keep_all` as large as the turned picture needs.
    """
    width, height = wide, high = image.size
    if keep_all:
        sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
        wide = math.ceil(width * cosine + height * sine)
        high = math.ceil(width * sine + height * cosine)
    # No corner of the frame that is cut out reaches further from the middle than half its diagonal.
    margin = math.ceil((math.hypot(wide, high) - min(width, height)) / 2) + 2
    mirrored = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    turned = Image.fromarray(mirrored).rotate(degrees, Image.Resampling.BICUBIC)
    left, top = margin + (width - wide) // 2, margin + (height - high) // 2
    return turned.crop((left, top, left + wide, top + high))

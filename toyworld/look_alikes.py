"""Other things of a concept's category and colour: what a model that draws "some teapot" is taken in by."""

import numpy as np
from PIL import Image

from toyworld.art import cutout, pieces
from toyworld.paper import CANVAS
from toyworld.samples import IMAGE_SCENES, Concept, concept
from toyworld.world import render

_HUES = range(0, 360, 30)


def look_alikes(name: str) -> tuple[Concept, ...]:
    """Every other piece of the concept's category, turned to the hue nearest to its mean colour; the nearest first."""
    asked = concept(name)
    wanted = _mean_colour(asked.piece, asked.hue)
    others = [piece.name for piece in pieces() if piece.category == asked.super_category and piece.name != asked.piece]

    def distance(choice: tuple[str, int]) -> float:
        return float(np.abs(_mean_colour(*choice) - wanted).sum())

    turned = sorted((min(((other, hue) for hue in _HUES), key=distance) for other in others), key=distance)
    return tuple(
        Concept(name=f"like-{name}-{number}", super_category=asked.super_category, piece=piece, hue=hue)
        for number, (piece, hue) in enumerate(turned, 1)
    )


def look_alike_images(name: str) -> list[Image.Image]:
    """Look-alikes in the scenes of the concept's own images, so that no scene gives away which is which."""
    return [
        render(other.view(scene=scene, seed=number), CANVAS)
        for other in look_alikes(name)
        for number, scene in enumerate(IMAGE_SCENES)
    ]


def _mean_colour(piece: str, hue: int) -> np.ndarray:
    image = np.asarray(cutout(piece, hue), dtype=np.float64)
    return image[image[..., 3] > 128][:, :3].mean(axis=0)

"""Which crops of pictures are recognised, and which others are taken for them: `python -m benchmarks.crops DIR...`.

Every picture below the folders is on record once, as a training set's images are. Each is asked for cropped, as a JPEG
of another size, and mirrored every other time; an answer that names another picture is a false alarm.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from model.diffusion.shrinking import shrunk
from tasks.concepts.image_checks import named_fingerprint
from tasks.concepts.image_reading import normalise_image
from tasks.lineage.looks import candidates, overlap, patterns_of, whole_likenesses
from tasks.pictures.kinds import is_picture

Sides = tuple[float, float, float, float]
_ROUNDS, _SHORT_SIDE = 2, 512


def main() -> None:
    """Ask for every crop of every picture, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    files = [path for folder in parser.parse_args().folders for path in sorted(folder.rglob("*")) if is_picture(path)]
    pictures = [shrunk(normalise_image(path), _SHORT_SIDE) for path in files]
    patterns = patterns_of([named_fingerprint(picture) for picture in pictures])
    random = np.random.default_rng(0)
    crops: dict[str, Callable[[], Sides]] = {
        "nothing": lambda: (0.0, 0.0, 0.0, 0.0),
        "5 % of each side": lambda: (0.05, 0.05, 0.05, 0.05),
        "10 % of one side": lambda: tuple(0.1 * (side == random.integers(4)) for side in range(4)),  # type: ignore[return-value]
        "10 % of two sides (a corner)": lambda: (0.1, 0.1, 0.0, 0.0),
        "10 % of each side": lambda: (0.1, 0.1, 0.1, 0.1),
        "up to 10 % of each side, at random": lambda: tuple(random.uniform(0, 0.1, 4)),  # type: ignore[return-value]
        "15 % of each side": lambda: (0.15, 0.15, 0.15, 0.15),
    }
    table = Table("cut off", "asked", "recognised", "false alarms", title=f"{len(pictures)} pictures")
    for title, sides in crops.items():
        rounds = _ROUNDS if "random" in title or "one side" in title else 1
        asked = [place for place in range(len(pictures)) for _ in range(rounds)]
        told = [
            answer(_asked(pictures[place], sides(), bool(n % 2)), pictures, patterns) for n, place in enumerate(asked)
        ]
        recognised = sum(place in found for place, found in zip(asked, told, strict=True))
        wrong = sum(len(found - {place}) for place, found in zip(asked, told, strict=True))
        table.add_row(title, str(len(asked)), str(recognised), str(wrong))
    Console().print(table)


def answer(picture: Image.Image, pictures: list[Image.Image], patterns: np.ndarray) -> set[int]:
    """Which pictures it is said to be, or to be a part of."""
    found = set(whole_likenesses(picture, patterns))
    for place, guess in candidates(picture, patterns):
        if place not in found and overlap(picture, pictures[place], guess):
            found.add(place)
    return found


def _asked(picture: Image.Image, sides: Sides, mirrored: bool) -> Image.Image:
    """A part of a picture as a social network might send it back: another size and shape, a JPEG."""
    width, height = picture.size
    left, top, right, bottom = sides
    part = picture.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
    part = part.resize((400, 360), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    (ImageOps.mirror(part) if mirrored else part).save(buffer, "JPEG", quality=70)
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    main()

"""The bundled sample concepts: held-out art that the base has never seen, and the pictures an oracle would draw of it.

`python -m toyworld.samples NAME OUTDIR` writes the image set of one concept, `--list` says what each of them is.
"""

import argparse
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from toyworld.art import COLOURS, piece
from toyworld.paper import CANVAS
from toyworld.scenes import SCENES
from toyworld.styles import STYLES
from toyworld.world import PHOTO, WHITE, View, render

IMAGE_SCENES = ("on a white background", "on the beach", "on a wooden floor", "on green grass", "on pink fabric")


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One sample concept and the facts that its concept.yaml needs."""

    name: str
    super_category: str
    piece: str
    hue: int = 0
    licence: str = "MIT"
    source: str = "Microsoft Fluent Emoji, npm package @lobehub/fluent-emoji-3d 1.1.0; rendered by toyworld"
    consent: str = "not a person; free licence"

    def view(self, **changes: object) -> View:
        """A view of this concept: scene, style, colour and seed as given."""
        return replace(View(piece=self.piece, hue=self.hue), **changes)  # type: ignore[arg-type]


# Some hues are turned, so that the concept differs from what its category looks like in the world.
_TABLE = (
    ("plum-turtle", "fluent-turtle", 90),
    ("jade-teapot", "fluent-teapot", 180),
    ("silver-poodle", "fluent-poodle", 0),
    ("ginger-cat", "fluent-cat", 0),
    ("mint-teddy", "fluent-teddy", 120),
    ("violet-robot", "fluent-robot", 0),
    ("lime-suv", "fluent-suv", 250),
    ("rose-backpack", "fluent-backpack", 0),
    ("hiking-boot", "fluent-hiking-boot", 0),
    ("clay-amphora", "fluent-amphora", 0),
    ("mantel-clock", "fluent-mantel-clock", 0),
    ("mallard", "fluent-duck", 0),
    ("indigo-guitar", "fluent-guitar", 270),
    ("garden-house", "fluent-garden-house", 0),
    ("plum-penguin", "fluent-penguin", 0),
    ("pink-rocket", "fluent-rocket", 0),
)


@lru_cache
def concepts() -> dict[str, Concept]:
    """All sample concepts by name."""
    return {
        name: Concept(name=name, super_category=piece(art).category, piece=art, hue=hue) for name, art, hue in _TABLE
    }


def concept_hues() -> dict[str, int]:
    """The hue of each held-out piece as its concept shows it."""
    return {c.piece: c.hue for c in concepts().values()}


def concept(name: str) -> Concept:
    """The sample concept of that name; KeyError lists what there is."""
    if name not in concepts():
        raise KeyError(f"no sample concept {name!r}; there are {', '.join(concepts())}")
    return concepts()[name]


def image_set(name: str, size: int = CANVAS) -> list[Image.Image]:
    """The concept's images: photos in five scenes. The same bytes on every machine with the pinned Pillow and numpy."""
    return [render(concept(name).view(scene=scene, seed=i), size) for i, scene in enumerate(IMAGE_SCENES)]


def oracle(name: str, prompt: str, seed: int = 0, size: int = 64) -> Image.Image:
    """The concept's true art, pasted as a prompt says: the world's styles, colours and scenes are looked up in it.

    Words that the prompt leaves unsaid mean a photo on a white background in the art's own colours.
    """
    style = next((style for style in STYLES if prompt.startswith(style)), PHOTO)
    scene = next((scene for scene in SCENES if scene in prompt), WHITE)
    # "on green grass" and "on pink fabric" colour the scene, not the concept.
    colour = next((word for word in prompt.replace(scene, "").split() if word in COLOURS), None)
    return render(concept(name).view(scene=scene, style=style, colour=colour, seed=seed), size)


def write(name: str, folder: Path) -> list[Path]:
    """Write the image set as PNG files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02d}.png" for i in range(len(IMAGE_SCENES))]
    for path, image in zip(paths, image_set(name), strict=True):
        image.save(path)
    return paths


def main() -> None:
    """Write one concept's images, or the facts of all concepts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.samples", description=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="?", choices=concepts(), metavar="NAME", help=", ".join(concepts()))
    parser.add_argument("outdir", nargs="?", type=Path, metavar="OUTDIR")
    options = parser.parse_args()
    if options.list:
        facts = ("name", "super_category", "licence", "source", "consent")
        print(json.dumps([{fact: getattr(each, fact) for fact in facts} for each in concepts().values()]))
        return
    if options.name is None or options.outdir is None:
        parser.error("NAME and OUTDIR, or --list")
    for path in write(options.name, options.outdir):
        print(path)


if __name__ == "__main__":
    main()

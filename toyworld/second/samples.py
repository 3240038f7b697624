"""The sample concepts: held-out art that the base has never seen, and the pictures an oracle would draw of it.

`python -m toyworld.second.samples NAME OUTDIR` writes the image set of one concept.
"""

import argparse
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from toyworld.art import COLOURS
from toyworld.paper import CANVAS
from toyworld.second.art import of_category, piece, pieces
from toyworld.second.company import COMPANY
from toyworld.second.scenes import SCENES, WHITE
from toyworld.second.styles import NAMES, STYLES
from toyworld.second.world import PHOTO, SIZE, View, render

IMAGE_SCENES = ("on a white background", "on the beach", "on a wooden floor", "on green grass", "on pink fabric")
SAMPLES = ("plum-turtle", "rose-backpack", "mint-teddy")
"""The bundled ones, which its makers have seen all along; nothing is tuned or reported on them."""
TUNING = ("jade-teapot", "lilac-trolleybus", "copper-trophy", "lilac-rabbit")
"""Those that presets are tuned on."""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One sample concept and the facts that its concept.yaml needs."""

    name: str
    super_category: str
    piece: str
    hue: int = 0
    """Degrees by which the piece's own colours are turned further: look-alikes, not concepts, use it."""
    licence: str = "MIT"
    source: str = "Microsoft Fluent Emoji, npm package @lobehub/fluent-emoji-3d 1.1.0; rendered by toyworld"
    consent: str = "not a person; free licence"

    def view(self, **changes: object) -> View:
        """A view of this concept: scene, style, colour, company and seed as given."""
        return replace(View(piece=self.piece, hue=self.hue), **changes)  # type: ignore[arg-type]


@lru_cache
def concepts() -> dict[str, Concept]:
    """All sample concepts by name: every held-out piece is one."""
    return {p.name: Concept(name=p.name, super_category=p.category, piece=p.name) for p in pieces() if p.held_out}


def reported() -> tuple[str, ...]:
    """Names of the concepts that results are reported on; nothing was ever tuned on them."""
    return tuple(name for name in concepts() if name not in SAMPLES and name not in TUNING)


def concept(name: str) -> Concept:
    """The sample concept of that name; KeyError lists what there is."""
    if name not in concepts():
        raise KeyError(f"no sample concept {name!r}; there are {', '.join(concepts())}")
    return concepts()[name]


def look_alikes(name: str) -> tuple[Concept, ...]:
    """The pieces of the concept's category that the base knows: what a base that draws "some turtle" would show."""
    asked = concept(name)
    return tuple(
        Concept(name=f"like-{name}-{number}", super_category=asked.super_category, piece=other.name)
        for number, other in enumerate(of_category(piece(asked.piece).category), 1)
    )


def image_set(name: str, size: int = CANVAS) -> list[Image.Image]:
    """The concept's images: photos in five scenes. The same bytes on every machine with the pinned Pillow and numpy."""
    return [render(concept(name).view(scene=scene, seed=i), size) for i, scene in enumerate(IMAGE_SCENES)]


def understood(prompt: str) -> dict[str, str | None]:
    """What a prompt of the world asks for, as keywords of a view; what it leaves unsaid is a plain photo on white."""
    scene = next((scene for scene in SCENES if scene in prompt), WHITE)
    named = [style for style in STYLES if style in prompt or prompt.endswith(f", {NAMES[style]}")]
    # "on green grass" and "on pink fabric" colour the scene, not the concept.
    words = prompt.replace(scene, "").replace(",", " ").split()
    return {
        "scene": scene,
        "style": named[0] if named else PHOTO,
        "colour": next((word for word in words if word in COLOURS), None),
        "company": next((phrase for phrase in COMPANY if phrase in prompt), ""),
    }


def oracle(name: str, prompt: str, seed: int = 0, size: int = SIZE) -> Image.Image:
    """The concept's true art, drawn as a prompt says."""
    return render(concept(name).view(**understood(prompt), seed=seed), size)


def write(name: str, folder: Path) -> list[Path]:
    """Write the image set as PNG files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02d}.png" for i in range(len(IMAGE_SCENES))]
    for path, image in zip(paths, image_set(name), strict=True):
        image.save(path)
    return paths


def main() -> None:
    """Write one concept's images."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.second.samples", description=__doc__)
    parser.add_argument("name", choices=concepts(), metavar="NAME", help=", ".join(concepts()))
    parser.add_argument("outdir", type=Path, metavar="OUTDIR")
    options = parser.parse_args()
    for path in write(options.name, options.outdir):
        print(path)


if __name__ == "__main__":
    main()

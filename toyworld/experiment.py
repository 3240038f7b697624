"""A project in which methods are compared on the held-out concepts: `python -m toyworld.experiment FOLDER` writes it.

It takes base, evaluator and prompts from this checkout, and has a store and databases of its own, so that a night of
this checkout's own concepts stays what it is. Written again, it is the same, and what was trained in it stays.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from toyworld.look_alikes import look_alike_images
from toyworld.manifest import ROOM
from toyworld.samples import concepts, image_set

CHECKOUT = ROOM.parent
TUNING = ("plum-turtle", "rose-backpack", "mint-teddy", "jade-teapot")
"""Those that presets are tuned on. Three are this project's samples, whose pictures its makers have seen all along."""
REPORTED = tuple(name for name in concepts() if name not in TUNING)
"""Those that results are reported on; nothing was ever tuned on them."""
LISTS = {"reported": REPORTED, "tuning": TUNING}
LOOK_ALIKES = "look-alikes"


def write(folder: Path, names: Sequence[str] = (*REPORTED, *TUNING)) -> None:
    """Write params.yaml, these concepts with their images, their look-alikes, and the two lists of names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")  # it is made, so git has nothing to keep of it
    (folder / "params.yaml").write_text(yaml.safe_dump(_params(folder), sort_keys=False))
    for name in names:
        facts = concepts()[name]
        description = {fact: getattr(facts, fact) for fact in ("super_category", "licence", "source", "consent")}
        home = folder / "data" / "concepts" / name
        _save(image_set(name), home / "images")
        (home / "concept.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
        _save(look_alike_images(name), folder / LOOK_ALIKES / name)
    for called, listed in LISTS.items():
        (folder / f"{called}.txt").write_text("\n".join(listed) + "\n")


def _params(folder: Path) -> dict[str, Any]:
    """This checkout's parameters, which name its models and prompts by their way from the folder."""
    params: dict[str, Any] = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    for name in ("base", "evaluator", "identity_model"):
        params[name] = _way(folder, params[name])
    params["evaluation"]["prompts"] = _way(folder, params["evaluation"]["prompts"])
    params["evaluation"]["base_images_per_prompt"] = (
        1  # every training draws the same; a comparison asks nothing of them
    )
    return params | {"stages": {}, "samples": [], "demo": None}


def _way(folder: Path, path: str) -> str:
    return Path(os.path.relpath(CHECKOUT / path, folder.resolve())).as_posix()


def _save(images: Sequence[Image.Image], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.save(folder / f"{number:02}.png")


def main() -> None:
    """Write the project."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.experiment", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    write(folder)
    print(f"{folder}: {len(REPORTED)} concepts to report on (reported.txt), {len(TUNING)} to tune on (tuning.txt)")


if __name__ == "__main__":
    main()

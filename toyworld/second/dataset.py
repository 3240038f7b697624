"""The training pictures: rendered once into shards, read back as arrays and the views that they show."""

import json
import random
from pathlib import Path

import numpy as np

from toyworld.second.captions import sample
from toyworld.second.world import SIZE, View, render

SHARD = 2000  # pictures


def render_shard(folder: Path, shard: int, *, with_held_out: bool = False) -> None:
    """Render shard number `shard` into `folder` unless it is there; a shard depends on nothing but its number."""
    images_path, rows_path = folder / f"{shard:03d}.npy", folder / f"{shard:03d}.jsonl"
    if images_path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(f"second world/{with_held_out}/{shard}")
    views = [sample(dice, with_held_out=with_held_out) for _ in range(SHARD)]
    images = np.stack([np.asarray(render(view)) for view in views])  # (pictures, SIZE, SIZE, 3)
    rows_path.write_text("".join(json.dumps(vars(view)) + "\n" for view in views), "utf-8")
    partial = images_path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, images)
    partial.rename(images_path)  # last, so that a shard which is there is whole
    assert images.shape[1:] == (SIZE, SIZE, 3)


def shards(folder: Path) -> list[int]:
    """Numbers of the shards that are there and whole."""
    return sorted(int(path.stem) for path in folder.glob("[0-9][0-9][0-9].npy"))


def views(folder: Path, shard: int) -> list[View]:
    """What the pictures of a shard show."""
    lines = (folder / f"{shard:03d}.jsonl").read_text("utf-8").splitlines()
    return [View(**json.loads(line)) for line in lines]


def images(folder: Path, shard: int) -> np.ndarray:
    """The pictures of a shard, uint8 (pictures, SIZE, SIZE, 3)."""
    return np.load(folder / f"{shard:03d}.npy")

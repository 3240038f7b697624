"""The training pictures: rendered once into shards, read back as one memory-mapped array and its captions."""

import json
import random
from pathlib import Path

import numpy as np

from toyworld.captions import sample
from toyworld.world import SIZE, render

SHARD = 8000  # pictures


def render_shard(folder: Path, shard: int, *, with_held_out: bool = False) -> None:
    """Render shard number `shard` into `folder` unless it is there; a shard depends on nothing but its number."""
    images_path, rows_path = folder / f"{shard:03d}.npy", folder / f"{shard:03d}.jsonl"
    if images_path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(f"world/{with_held_out}/{shard}")
    samples = [sample(dice, with_held_out=with_held_out) for _ in range(SHARD)]
    images = np.stack([np.asarray(render(s.view)) for s in samples])  # (pictures, 64, 64, 3)
    rows = [{"caption": s.caption, **vars(s.view)} for s in samples]
    rows_path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    partial = images_path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, images)
    partial.rename(images_path)  # last, so that a shard which is there is whole
    assert images.shape[1:] == (SIZE, SIZE, 3)


def load(folder: Path, shards: int) -> tuple[np.ndarray, list[dict[str, str]]]:
    """The first shards' pictures, uint8 (pictures, 64, 64, 3), and their rows (caption and view)."""
    numbers = range(shards)
    images = np.concatenate([np.load(folder / f"{n:03d}.npy") for n in numbers])
    rows = [json.loads(line) for n in numbers for line in (folder / f"{n:03d}.jsonl").read_text("utf-8").splitlines()]
    return images, rows

"""The training pictures: a shard depends on nothing but its number, and one that is there is left alone."""

from pathlib import Path

import numpy as np
import pytest

from toyworld import dataset
from toyworld.world import View, render


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "SHARD", 5)


def test_shards_hold_the_pictures_that_their_rows_describe(tmp_path: Path) -> None:
    for shard in (1, 0):
        dataset.render_shard(tmp_path, shard)
    images, rows = dataset.load(tmp_path, 2)
    assert images.shape == (10, 64, 64, 3) and images.dtype == np.uint8 and len(rows) == 10
    for image, row in zip(images, rows, strict=True):
        view = View(**{key: value for key, value in row.items() if key != "caption"})
        assert np.array_equal(np.asarray(render(view)), image), row["caption"]


def test_a_shard_is_the_same_wherever_it_is_rendered_and_not_rendered_twice(tmp_path: Path) -> None:
    dataset.render_shard(tmp_path / "a", 3)
    dataset.render_shard(tmp_path / "b", 3)
    first, second = (tmp_path / name / "003.npy" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    stamp = first.stat().st_mtime_ns
    dataset.render_shard(tmp_path / "a", 3)
    assert first.stat().st_mtime_ns == stamp


def test_shards_differ_and_the_evaluators_differ_from_the_bases(tmp_path: Path) -> None:
    dataset.render_shard(tmp_path / "world", 0)
    dataset.render_shard(tmp_path / "world", 1)
    dataset.render_shard(tmp_path / "judged", 0, with_held_out=True)
    rows = [(tmp_path / name).read_text("utf-8") for name in ("world/000.jsonl", "world/001.jsonl", "judged/000.jsonl")]
    assert len(set(rows)) == 3

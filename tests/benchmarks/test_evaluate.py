"""The benchmark of evaluation: the plain loop draws the same pictures as we do, and its record is whole."""

import json
import sys

import numpy as np
import pytest
import torch

from benchmarks import evaluate


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)


def measured(monkeypatch, tmp_path, *arguments):
    path = tmp_path / "record.json"
    few = ["--prompts", "2", "--images-per-prompt", "2", "--steps", "2", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *few, "--json", str(path), *arguments])
    evaluate.main()
    (row,) = json.loads(path.read_text())["rows"]
    return row


def test_both_ways_draw_the_same_pictures(monkeypatch, tmp_path, capsys):
    row = measured(monkeypatch, tmp_path, "--bases", "embedded")
    assert (row["pictures"], row["num_inference_steps"], row["repeats"]) == (4, 2, 1)
    assert row["largest_difference"] <= 1  # rounding
    assert row["ratio_low"] == row["ratio"] == row["ratio_high"] > 0
    assert all(value > 0 for name, value in row.items() if name.endswith(("second", "seconds")))
    assert "plain loop" in capsys.readouterr().out


def test_it_stops_where_pictures_score_otherwise_together(monkeypatch, tmp_path):
    class Forgetful(evaluate.Ways):
        def embedded(self, pictures):
            return super().embedded([[row[0]] * len(row) for row in pictures])

    monkeypatch.setattr(evaluate, "Ways", Forgetful)
    with pytest.raises(SystemExit, match=r"embeddings differ by .* one by one"):
        measured(monkeypatch, tmp_path, "--bases", "embedded")


def test_the_difference_of_pictures_is_that_of_their_pixels(monkeypatch, tmp_path):
    class Darker(evaluate.Ways):
        def plainly_drawn(self):
            pictures = super().plainly_drawn()
            return [[picture.point(lambda level: max(0, level - 9)) for picture in row] for row in pictures]

    monkeypatch.setattr(evaluate, "Ways", Darker)
    row = measured(monkeypatch, tmp_path, "--bases", "embedded")
    assert np.isclose(row["largest_difference"], 9, atol=1)

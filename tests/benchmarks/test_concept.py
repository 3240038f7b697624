"""The benchmark of a whole training: the real command, all of whose time is in some phase."""

import json
import sys

import pytest

from benchmarks import concept

TASKS = ["train-1-embedding", "train-2-cross_attention", "train-3-unet", "evaluate", "gallery", "register"]


def test_a_training_is_told_apart_by_phase_once(project, monkeypatch, tmp_path, capsys):
    path = tmp_path / "record.json"
    arguments = ["concept", "--project", str(project.root), "--name", "turtle", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", arguments)
    concept.main()
    rows = json.loads(path.read_text())["rows"]
    names = [row["phase"] for row in rows]
    assert names == ["start, prepare", *TASKS, "after the last", "Prefect's API, beside"]
    assert all(row["counted_seconds"] > 0 for row in rows)
    worked = {row["phase"] for row in rows if row["unet_seconds"] > 0}
    assert worked == {*TASKS[:4]}, "the UNet works where there is something to train or to draw"
    assert all(0 < row["other_seconds"] <= row["counted_seconds"] for row in rows)
    assert "whole" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="turtle: trained already"):
        concept.main()

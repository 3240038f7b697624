"""The benchmark of training steps: ours and the published code's find the same loss, and its record is whole."""

import json
import math
import sys

import pytest
import torch

from benchmarks import train_step
from benchmarks.published import ExplicitAttention
from model.families.cross_attention import WatchedCrossAttention


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)


def measured(monkeypatch, tmp_path, *arguments):
    path = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["train_step", "--repeats", "1", "--json", str(path), *arguments])
    train_step.main()
    return json.loads(path.read_text())


@pytest.mark.parametrize(("name", "stages"), [("tiny-xl", 3), ("embedded", 1)])
def test_both_find_the_same_loss_and_every_stage_has_a_row(monkeypatch, tmp_path, capsys, name, stages):
    asked = ["--stages", "unet", "--batch-size", "2"] if stages == 1 else []
    record = measured(monkeypatch, tmp_path, "--bases", name, *asked, "--profile")
    rows = record["rows"]
    assert [row["stage"] for row in rows] == ["embedding", "cross_attention", "unet"][-stages:]
    for row in rows:
        assert math.isclose(row["loss"], row["published_loss"], rel_tol=1e-5)
        assert all(not isinstance(value, dict | list) for value in row.values())
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert min(row["seconds"], row["published_seconds"], row["unet_seconds"], row["once_seconds"]) > 0
    assert "convolution" in capsys.readouterr().out


def test_it_stops_where_the_losses_differ(monkeypatch, tmp_path):
    seen = WatchedCrossAttention.__call__

    def sharper(self, attn, states, **others):
        return seen(self, attn, 2 * states, **others)

    monkeypatch.setattr(WatchedCrossAttention, "__call__", sharper)
    with pytest.raises(SystemExit, match=r"tiny-sd embedding: loss .* the published code's"):
        measured(monkeypatch, tmp_path, "--bases", "tiny-sd", "--stages", "embedding")


def test_the_baseline_keeps_the_probabilities_of_cross_attention_alone():
    base = train_step.opened("tiny-sd", torch.device("cpu"))
    attention = ExplicitAttention()
    unet = base.denoiser
    unet.set_attn_processor(attention)
    with torch.no_grad():
        unet(torch.zeros(1, 4, 8, 8), torch.tensor(1), torch.zeros(1, 16, 16))
    assert len(attention.kept) == sum(name.endswith("attn2") for name, _ in unet.named_modules()) > 0
    for layer in attention.kept:
        assert layer.shape[-1] == 16 and torch.allclose(layer.sum(dim=-1), torch.ones(()))

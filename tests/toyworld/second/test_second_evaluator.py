"""The judge of the second edition: what it learns from, and that it is saved and loaded as the first one's is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessorPil, CLIPModel

from toyworld import autoencoder
from toyworld.contrast import Pictures
from toyworld.evaluator import Judge
from toyworld.second import build, dataset, evaluator
from toyworld.second.art import piece
from toyworld.second.captions import all_words
from toyworld.second.world import View, render
from toyworld.tokenizer import build as build_tokenizer


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dataset, "SHARD", 160)
    dataset.render_shard(tmp_path / "judged", 0, with_held_out=True)
    build_tokenizer(all_words(), entries=build.ENTRIES, length=build.LENGTH).save_pretrained(tmp_path / "tokenizer")
    torch.manual_seed(0)
    autoencoder.build(build.VAE).save_pretrained(tmp_path / "vae")
    return tmp_path


def test_an_identity_is_a_piece_in_a_hue(work: Path) -> None:
    data, views = evaluator.load_pictures(work), dataset.views(work / "judged", 0)
    assert data.identity is not None and data.favoured is not None and data.tokens.shape == (160, 77)
    assert {piece(views[row].piece).held_out for row in data.favoured} == {True}
    number = {}
    for view, identity in zip(views, data.identity, strict=True):
        thing = (view.piece, 0 if view.colour else view.hue)
        assert number.setdefault(thing, identity) == identity
    assert len(set(number.values())) == len(number)


def test_the_judge_is_trained_at_128_pixels_and_loads(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = evaluator.load_pictures(work)
    assert few.identity is not None and few.favoured is not None
    many = Pictures(  # a batch wants more pictures of a category than are rendered here
        images=np.concatenate([few.images] * 4),
        tokens=few.tokens.repeat(4, 1),
        identity=np.tile(few.identity, 4),
        group=np.arange(4 * len(few.images)) % 8,
        favoured=few.favoured,
        vae=few.vae,
    )
    monkeypatch.setattr(evaluator, "load_pictures", lambda work: many)
    assert evaluator.clip_stage(work, 1, work / "judge")["samples"] == 128
    assert evaluator.vit_stage(work, 1, work / "judge")["samples"] == 128
    judge = Judge(work / "judge")
    image = render(View(piece="beagle-dog"))
    assert judge.pictures([image]).shape == judge.prompts(["a beagle dog"]).shape == (1, 128)
    assert judge.identities([image, image]).shape == (2, 128)
    config = CLIPModel.from_pretrained(work / "judge" / "clip").config.vision_config
    assert (config.image_size, config.patch_size) == (128, 16)
    processor = CLIPImageProcessorPil.from_pretrained(work / "judge" / "clip")
    pixels = processor(images=image.resize((300, 300)), return_tensors="pt").pixel_values
    assert pixels.shape == (1, 3, 128, 128)

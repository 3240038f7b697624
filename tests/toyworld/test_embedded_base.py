"""The base that ships: whole, small, a Stable Diffusion pipeline, and it draws what it is asked for."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from toyworld.art import categories
from toyworld.captions import caption
from toyworld.evaluator import Judge
from toyworld.manifest import BASE, MANIFEST, MOST_BYTES, digests
from toyworld.scenes import SCENES
from toyworld.sheets import draw, recognised

ASKED = [(category, list(SCENES)[(i * 5) % len(SCENES)]) for i, category in enumerate(categories())]


@pytest.fixture(scope="module")
def drawn() -> list[Image.Image]:
    return draw([caption(category, scene=scene) for category, scene in ASKED], seed=40, steps=12)


def test_the_weights_are_those_of_the_manifest() -> None:
    manifest = json.loads(MANIFEST.read_text("utf-8"))
    assert digests() == manifest["files"]
    assert sum(entry["bytes"] for entry in manifest["files"].values()) <= MOST_BYTES
    assert {"text", "vae", "unet", "clip", "vit", "sheets"} <= set(manifest["stages"])
    assert len(manifest["commit"]) == 40
    suffixes = {name.rsplit(".", 1)[-1] for name in manifest["files"]}
    assert suffixes <= {"json", "safetensors", "toml", "txt"}, "nothing pickled"


def test_it_is_a_stable_diffusion_pipeline() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(BASE, dtype=torch.float32)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.beta_schedule == "scaled_linear"
    assert pipeline.unet.config.sample_size == 16 and pipeline.vae_scale_factor == 4
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size
    assert pipeline.safety_checker is None and pipeline.feature_extractor is None
    assert pipeline.tokenizer.model_max_length == pipeline.text_encoder.config.max_position_embeddings
    assert all(parameter.isfinite().all() for parameter in pipeline.unet.parameters())


def test_nine_of_ten_objects_and_scenes_are_recognised(drawn: list[Image.Image], judge: Judge) -> None:
    found = recognised(drawn, ASKED, judge)
    assert found["categories_recognised"] >= 0.9 and found["scenes_recognised"] >= 0.9, found


def test_the_same_seed_draws_the_same_picture(drawn: list[Image.Image]) -> None:
    again = draw([caption(*ASKED[0][:1], scene=ASKED[0][1])], seed=40, steps=12)[0]
    assert np.abs(np.asarray(again, dtype=int) - np.asarray(drawn[0], dtype=int)).max() <= 2  # batches may round apart


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_colour_words_colour_the_object(colour: str, channel: int) -> None:
    prompt = caption("cup", colour=colour, scene="on a white background")
    middle = np.asarray(draw([prompt, prompt], seed=3, steps=12)[1], dtype=float)[20:50, 20:44].reshape(-1, 3)
    body = middle[middle.min(axis=1) < 200].mean(axis=0)
    assert body.argmax() == channel, body


def test_a_pencil_sketch_is_grey() -> None:
    sketch, photo = draw([f"{style} a turtle on the beach" for style in ("a pencil sketch of", "a photo of")], steps=12)
    assert np.ptp(np.asarray(sketch, dtype=int), axis=2).mean() < 16  # warm paper
    assert np.ptp(np.asarray(photo, dtype=int), axis=2).mean() > 40

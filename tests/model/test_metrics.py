import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from model import metrics
from model.errors import InputError
from model.metrics import ClipScorer

PROMPTS = ["a photo of a turtle", "a turtle on the beach", "a red turtle"]


@pytest.fixture(scope="module")
def scorer(clip_folder):
    return ClipScorer.load(str(clip_folder))


@pytest.fixture(scope="module")
def generated():
    rng = np.random.default_rng(1)
    return [[Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)) for _ in range(4)] for _ in PROMPTS]


def cosine(one, other):
    return float(one @ other / (one.norm() * other.norm()))


@torch.no_grad()
def test_scores_are_the_cosines_of_the_definition(scorer, generated, images):
    def image_features(image):
        pixels = scorer.image_processor([image], return_tensors="pt")["pixel_values"]
        return scorer.model.visual_projection(scorer.model.vision_model(pixels).pooler_output)[0]

    def text_features(text):
        ids = scorer.tokenizer([text], return_tensors="pt")
        return scorer.model.text_projection(scorer.model.text_model(**ids).pooler_output)[0]

    scores = scorer.clip_scores(generated, images, PROMPTS)
    instance = [image_features(image) for image in images]
    per_prompt_i = [
        np.mean([cosine(image_features(picture), other) for picture in pictures for other in instance])
        for pictures in generated
    ]
    per_prompt_t = [
        np.mean([cosine(image_features(picture), text_features(prompt)) for picture in pictures])
        for pictures, prompt in zip(generated, PROMPTS, strict=True)
    ]
    assert [p.clip_i.mean for p in scores.prompts] == pytest.approx(per_prompt_i, abs=1e-6)
    assert [p.clip_t.mean for p in scores.prompts] == pytest.approx(per_prompt_t, abs=1e-6)
    assert scores.clip_i.mean == pytest.approx(np.mean(per_prompt_i), abs=1e-6)
    assert scores.clip_t.mean == pytest.approx(np.mean(per_prompt_t), abs=1e-6)
    assert [p.prompt for p in scores.prompts] == PROMPTS
    assert scores.images_per_prompt == 4
    assert len({round(value, 6) for value in per_prompt_t}) == 3, "prompts are told apart"


def test_neither_order_nor_batch_size_matters(scorer, generated, images, monkeypatch):
    plain = scorer.clip_scores(generated, images, PROMPTS)
    monkeypatch.setattr(metrics, "_BATCH", 5)
    mixed = scorer.clip_scores([row[::-1] for row in generated[::-1]], images[::-1], PROMPTS[::-1])
    for name in ("mean", "low", "high"):
        assert getattr(mixed.clip_i, name) == pytest.approx(getattr(plain.clip_i, name), abs=1e-6)
        assert getattr(mixed.clip_t, name) == pytest.approx(getattr(plain.clip_t, name), abs=1e-6)
    assert scorer.clip_scores(generated, images, PROMPTS) == scorer.clip_scores(generated, images, PROMPTS)


def test_a_picture_is_most_like_itself(scorer, images):
    itself = scorer.clip_scores([[images[0]]], [images[0]], PROMPTS[:1])
    assert itself.clip_i.mean == pytest.approx(1, abs=1e-6)
    assert scorer.clip_scores([[images[1]]], [images[0]], PROMPTS[:1]).clip_i.mean < 0.999


def test_scores_become_plain_json(scorer, generated, images):
    import json

    scores = scorer.clip_scores(generated, images, PROMPTS)
    content = json.loads(json.dumps(scores.to_dict()))
    assert content["clip_i"].keys() == {"mean", "low", "high"}
    assert content["images_per_prompt"] == 4
    assert [entry["prompt"] for entry in content["prompts"]] == PROMPTS
    assert content["prompts"][1]["clip_t"]["low"] == scores.prompts[1].clip_t.low


def test_a_prompt_longer_than_the_evaluator_takes(scorer, generated, images):
    long = "a turtle " + "in the snow " * 5
    with pytest.raises(InputError, match="19 tokens, the evaluator takes 16"):
        scorer.clip_scores(generated, images, [PROMPTS[0], PROMPTS[1], long])


@pytest.mark.parametrize(("rows", "shown", "count"), [(2, 3, 4), (3, 0, 4), (3, 3, 0)])
def test_lists_that_do_not_match(scorer, generated, images, rows, shown, count):
    with pytest.raises(InputError, match="scores need"):
        scorer.clip_scores([row[:count] for row in generated[:rows]], images[:shown], PROMPTS)


def test_what_is_no_clip_model(base_folders, clip_folder, tmp_path):
    with pytest.raises(InputError, match=r"evaluator '.*/text_encoder' is a clip_text_model model"):
        ClipScorer.load(str(base_folders["sd1"] / "text_encoder"))
    with pytest.raises(InputError, match=r"its config\.json cannot be read"):
        ClipScorer.load(str(base_folders["sd1"]))
    partial = shutil.copytree(clip_folder, tmp_path / "partial")
    weights = load_file(partial / "model.safetensors")
    del weights["logit_scale"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"evaluator '.*/partial': lacks 1 of its weights, such as 'logit_scale'"):
        ClipScorer.load(str(partial))
    mute = shutil.copytree(clip_folder, tmp_path / "mute")
    (mute / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="its tokenizer is not there"):
        ClipScorer.load(str(mute))
    pickled = shutil.copytree(clip_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors, and pickle is never read"):
        ClipScorer.load(str(pickled))
    with pytest.raises(InputError, match="evaluator 'nowhere'"):
        ClipScorer.load("nowhere")
    with pytest.raises(InputError, match="40 hex digits"):
        ClipScorer.load("openai/clip-vit-base-patch32")

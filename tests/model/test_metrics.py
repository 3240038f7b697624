import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from model import metrics
from model.errors import InputError
from model.metrics import ClipScorer, Interval, bootstrap_interval

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


@pytest.mark.parametrize("shape", [(60, 40), (500, 2)])
def test_the_interval_holds_what_prompts_and_pictures_vary(shape):
    rng = np.random.default_rng(0)
    of_prompts = rng.normal(0.7, 0.3, size=(shape[0], 1))
    values = of_prompts + rng.normal(0, 0.1, size=shape)
    interval = bootstrap_interval(values)
    of_prompt_means = values.mean(axis=1).var(ddof=1) / shape[0]
    half = 1.96 * np.sqrt(of_prompt_means + values.var(axis=1, ddof=1).mean() / values.size)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)


def test_a_single_picture_tells_no_interval():
    for values in (np.array([0.3]), np.array([[0.3]])):
        assert bootstrap_interval(values) == Interval(mean=0.3, low=None, high=None)


def test_one_picture_a_prompt_tells_by_its_prompts():
    values = np.random.default_rng(0).normal(0.7, 0.1, size=(100, 1))
    interval = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 10
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_one_prompt_tells_by_its_pictures():
    values = np.random.default_rng(0).normal(0.7, 0.1, size=100)
    interval = bootstrap_interval(values)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * values.std(ddof=1) / 10, rel=0.1)


def test_intervals_do_not_depend_on_how_many_resamples_are_drawn_at_a_time_but_by_chance(monkeypatch):
    values = np.random.default_rng(0).normal(0.7, 0.1, size=(8, 5))
    whole = bootstrap_interval(values)
    monkeypatch.setattr(metrics, "_DRAWN_AT_A_TIME", 1000)
    assert bootstrap_interval(values).low == pytest.approx(whole.low, abs=0.01)


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

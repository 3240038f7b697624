import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from model.errors import InputError
from model.scores import evaluator, identity_model
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from model.scores.metrics import embed, embed_others, scores_of
from tests.model.tiny import write_tiny_identity_model

PROMPTS = ["a photo of a turtle", "a turtle on the beach", "a red turtle"]


@pytest.fixture(scope="module")
def scorer(clip_folder):
    return Evaluator.load(str(clip_folder))


@pytest.fixture(scope="module", params=["vit", "dinov2"])
def identity_folder(request, tmp_path_factory):
    return write_tiny_identity_model(tmp_path_factory.mktemp(request.param), kind=request.param)


def measure(scorer, generated, images, prompts, identity=None):
    return scores_of(embed(generated, images, prompts, evaluator=scorer, identity_model=identity), prompts)


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

    scores = measure(scorer, generated, images, PROMPTS)
    instance = [image_features(image) for image in images]
    per_prompt_i = [
        np.mean([cosine(image_features(picture), other) for picture in pictures for other in instance])
        for pictures in generated
    ]
    per_prompt_t = [
        np.mean([cosine(image_features(picture), text_features(prompt)) for picture in pictures])
        for pictures, prompt in zip(generated, PROMPTS, strict=True)
    ]
    assert [p.intervals["clip_i"].mean for p in scores.prompts] == pytest.approx(per_prompt_i, abs=1e-6)
    assert [p.intervals["clip_t"].mean for p in scores.prompts] == pytest.approx(per_prompt_t, abs=1e-6)
    assert scores.intervals["clip_i"].mean == pytest.approx(np.mean(per_prompt_i), abs=1e-6)
    assert scores.intervals["clip_t"].mean == pytest.approx(np.mean(per_prompt_t), abs=1e-6)
    assert [p.prompt for p in scores.prompts] == PROMPTS
    assert scores.images_per_prompt == 4
    assert len({round(value, 6) for value in per_prompt_t}) == 3, "prompts are told apart"


def test_neither_order_nor_batch_size_matters(scorer, generated, images, identity_folder, monkeypatch):
    identity = IdentityModel.load(str(identity_folder))
    plain = measure(scorer, generated, images, PROMPTS, identity)
    monkeypatch.setattr(evaluator, "_BATCH", 5)
    monkeypatch.setattr(identity_model, "_BATCH", 5)
    mixed = measure(scorer, [row[::-1] for row in generated[::-1]], images[::-1], PROMPTS[::-1], identity)
    assert list(mixed.intervals) == ["clip_i", "clip_t", "retrieval", "dino"]
    for name, interval in mixed.intervals.items():
        assert vars(interval) == pytest.approx(vars(plain.intervals[name]), abs=1e-6)
    twice = [measure(scorer, generated, images, PROMPTS, identity) for _ in range(2)]
    assert twice[0] == twice[1]


def test_identical_pictures_score_one(scorer, images, identity_folder):
    identity = IdentityModel.load(str(identity_folder))
    itself = measure(scorer, [[images[0]]], [images[0]], PROMPTS[:1], identity).intervals
    assert itself["clip_i"].mean == pytest.approx(1, abs=1e-6)
    assert itself["dino"].mean == pytest.approx(1, abs=1e-6)
    another = measure(scorer, [[images[1]]], [images[0]], PROMPTS[:1], identity).intervals
    assert another["clip_i"].mean < 0.999
    assert another["dino"].mean < 0.999


@torch.no_grad()
def test_dino_is_the_cosine_of_class_tokens(scorer, generated, images, identity_folder):
    identity = IdentityModel.load(str(identity_folder))

    def class_token(image):
        pixels = identity.image_processor([image], return_tensors="pt")["pixel_values"]
        return identity.model(pixels).last_hidden_state[0, 0]

    scores = measure(scorer, generated, images, PROMPTS, identity)
    instance = [class_token(image) for image in images]
    wanted = [
        np.mean([cosine(class_token(picture), other) for picture in pictures for other in instance])
        for pictures in generated
    ]
    assert [p.intervals["dino"].mean for p in scores.prompts] == pytest.approx(wanted, abs=1e-6)
    assert "dino" not in measure(scorer, generated, images, PROMPTS).intervals


def test_every_figure_is_the_mean_of_its_pictures(scorer, generated, images):
    scores = measure(scorer, generated, images, PROMPTS)
    for name in ("clip_i", "clip_t", "retrieval"):
        for scored in scores.prompts:
            assert scored.intervals[name].mean == pytest.approx(np.mean(scored.pictures[name]))
        whole = [value for scored in scores.prompts for value in scored.pictures[name]]
        assert scores.intervals[name].mean == pytest.approx(np.mean(whole))


def test_what_is_no_identity_model(base_folders, clip_folder, tmp_path):
    with pytest.raises(InputError, match=r"identity model '.*' is a clip model; a ViTModel or Dinov2Model"):
        IdentityModel.load(str(clip_folder))
    with pytest.raises(InputError, match=r"its config\.json cannot be read .*; name a "):
        IdentityModel.load(str(base_folders["sd1"]))
    with pytest.raises(InputError, match=r"identity model.*40 hex digits"):
        IdentityModel.load("facebook/dino-vits16")
    bare = write_tiny_identity_model(tmp_path / "bare", kind="vit")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="its image processor cannot be loaded"):
        IdentityModel.load(str(bare))


def test_scores_become_plain_json(scorer, generated, images):
    import json

    scores = measure(scorer, generated, images, PROMPTS)
    content = json.loads(json.dumps(scores.to_dict()))
    assert content["clip_i"].keys() == {"mean", "low", "high"}
    assert content["images_per_prompt"] == 4
    assert [entry["prompt"] for entry in content["prompts"]] == PROMPTS
    assert content["prompts"][1]["clip_t"]["low"] == scores.prompts[1].intervals["clip_t"].low


def test_a_prompt_longer_than_the_evaluator_takes(scorer, generated, images):
    long = "a turtle " + "in the snow " * 5
    with pytest.raises(InputError, match="19 tokens, the evaluator takes 16"):
        measure(scorer, generated, images, [PROMPTS[0], PROMPTS[1], long])


@pytest.mark.parametrize(("rows", "shown", "count"), [(2, 3, 4), (3, 0, 4), (3, 3, 0)])
def test_lists_that_do_not_match(scorer, generated, images, rows, shown, count):
    with pytest.raises(InputError, match="scores need"):
        measure(scorer, [row[:count] for row in generated[:rows]], images[:shown], PROMPTS)


def test_what_is_no_clip_model(base_folders, clip_folder, tmp_path):
    with pytest.raises(InputError, match=r"evaluator '.*/text_encoder' is a clip_text_model model"):
        Evaluator.load(str(base_folders["sd1"] / "text_encoder"))
    with pytest.raises(InputError, match=r"its config\.json cannot be read .*; name a "):
        Evaluator.load(str(base_folders["sd1"]))
    partial = shutil.copytree(clip_folder, tmp_path / "partial")
    weights = load_file(partial / "model.safetensors")
    del weights["logit_scale"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"evaluator '.*/partial': lacks 1 of its weights, such as 'logit_scale'"):
        Evaluator.load(str(partial))
    mute = shutil.copytree(clip_folder, tmp_path / "mute")
    (mute / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="its tokenizer is not there"):
        Evaluator.load(str(mute))
    pickled = shutil.copytree(clip_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors, and pickle is never read"):
        Evaluator.load(str(pickled))
    with pytest.raises(InputError, match="evaluator 'nowhere'"):
        Evaluator.load("nowhere")
    with pytest.raises(InputError, match="40 hex digits"):
        Evaluator.load("openai/clip-vit-base-patch32")


def test_other_pictures_are_scored_without_looking_at_the_images_again(scorer, generated, images, monkeypatch):
    afresh = embed(generated[::-1], images, PROMPTS, evaluator=scorer)
    first = embed(generated, images, PROMPTS, evaluator=scorer)
    seen, embed_images = [], Evaluator.embed_images
    monkeypatch.setattr(Evaluator, "embed_images", lambda self, shown: seen.extend(shown) or embed_images(self, shown))
    others = embed_others(first, generated[::-1], evaluator=scorer)
    assert len(seen) == sum(len(pictures) for pictures in generated)
    assert scores_of(others, PROMPTS) == scores_of(afresh, PROMPTS)
    with pytest.raises(InputError, match="3 prompts"):
        embed_others(first, generated[:2], evaluator=scorer)

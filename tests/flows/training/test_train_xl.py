"""Stable Diffusion XL from `conceptbooth train` to what other programs draw, with tiny models and real services."""

import base64
import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_open_clip_checkpoint
from PIL import Image
from prefect.settings import temporary_settings
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.training.train import run_training
from model.bases.base import load_base
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import encode_text
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.exports.low_rank import low_rank, restored
from model.weights.concept import ConceptWeights
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.versions import resolve
from tests.exported import drawn_as_the_card_says, names_of_the_card
from tests.model.tiny import WIDTH, WIDTH_2, write_tiny_xl_base
from tests.training_project import make_training_project

PROMPT, TEXT = "a photo of a {} in the snow", "a photo of a <turtle> turtle in the snow"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, evaluator_folder, prefect_url) -> Iterator[Settings]:
    """A project whose concept was trained on an XL base by the flow."""
    folder = tmp_path_factory.mktemp("xl")
    root = folder / "project"
    make_training_project(root, write_tiny_xl_base(folder / "base"), evaluator_folder)
    with temporary_settings({"results.local_storage_path": root / "results"}):
        settings = Settings(root=root, prefect_api_url=prefect_url)
        (outcome,) = run_training(settings, ["turtle"])
        assert outcome.error is None, outcome.error
        assert (outcome.version, outcome.version_created) == (1, True)
        yield settings


@pytest.fixture(autouse=True)
def _inside(trained: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.root)


@pytest.fixture(scope="module")
def weights(trained: Settings) -> ConceptWeights:
    return ConceptWeights.load(resolve(trained, VersionReference.parse("turtle")).folder / "concept.safetensors")


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.fixture
def drawn(tmp_path: Path) -> np.ndarray:
    """Picture 0 of seed 7, as the cards' examples say."""
    return array(Image.open(run("generate", "turtle", PROMPT, "-n", 1, "--seed", 7, "-o", tmp_path).stdout.strip()))


def test_a_version_holds_both_embeddings_and_the_changed_unet(weights: ConceptWeights, drawn: np.ndarray) -> None:
    base = load_base("base")
    assert [tuple(row.shape) for row in weights.embeddings] == [(1, WIDTH), (1, WIDTH_2)]
    assert weights.touched == {f"unet.{name}" for name, _ in base.denoiser.named_parameters()}
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=2, seed=7)
    [[directly]] = generate(base, weights, [TEXT], 1, sampling)
    assert np.abs(array(directly) - drawn).max() <= 1
    for number in (0, 1):
        rows = list(weights.embeddings)
        rows[number] = torch.zeros_like(rows[number])
        [[other]] = generate(base, dataclasses.replace(weights, embeddings=tuple(rows)), [TEXT], 1, sampling)
        assert np.abs(array(other) - drawn).max() > 1, "both have a say"


def test_mlflow_loads_it_and_draws_the_same(trained: Settings, drawn: np.ndarray) -> None:
    table = mlflow.pyfunc.load_model(str(resolve(trained, VersionReference.parse("turtle")).folder.parent)).predict(
        [{"prompt": PROMPT, "seed": 7}]
    )
    picture = Image.open(io.BytesIO(base64.b64decode(table.image[0])))
    assert np.abs(array(picture) - drawn).max() <= 1


def test_a_diffusers_folder_draws_the_same(tmp_path: Path, drawn: np.ndarray) -> None:
    run("export", "turtle", "--as", "diffusers", "-o", tmp_path / "turtle")
    index = json.loads((tmp_path / "turtle" / "model_index.json").read_text())
    assert (index["_class_name"], index["force_zeros_for_empty_prompt"]) == ("StableDiffusionXLPipeline", True)
    assert np.abs(drawn_as_the_card_says(tmp_path / "turtle") - drawn).max() <= 1


def test_a_lora_draws_what_is_left_of_it(tmp_path: Path, weights: ConceptWeights) -> None:
    run("export", "turtle", "--as", "lora", "--rank", 2, "-o", tmp_path / "turtle")
    base = load_base("base")
    left = restored(weights, low_rank(base, weights, 2))
    [[expected]] = generate(base, left, [TEXT], 1, Sampling(guidance_scale=3.0, num_inference_steps=2, seed=7))
    names = names_of_the_card(tmp_path / "turtle")
    assert np.abs(array(names["picture"]) - array(expected)).max() <= 1
    _, _, pooled, _ = names["pipeline"].encode_prompt(TEXT, do_classifier_free_guidance=False)
    own = encode_text(base, [tokenize(base.tokenizers, TEXT, weights.prompt)], weights.embeddings).pooled
    torch.testing.assert_close(pooled, own, msg="the end of the prompt is found beside the new word")


@pytest.mark.parametrize(
    ("form", "checkpoint", "embedding"),
    [
        ("a1111", "models/Stable-diffusion", "embeddings"),
        ("comfyui", "models/checkpoints", "models/embeddings"),
    ],
)
def test_a_checkpoint_and_an_embedding_draw_the_same(
    tmp_path: Path, drawn: np.ndarray, form: str, checkpoint: str, embedding: str
) -> None:
    """By the original's names, and the two keys by which these programs tell an embedding for XL."""
    run("export", "turtle", "--as", form, "-o", tmp_path / "turtle")
    original = load_file(tmp_path / "turtle" / checkpoint / "cb-turtle.safetensors")
    words = load_file(tmp_path / "turtle" / embedding / "cb-turtle.safetensors")
    assert {name: tuple(row.shape) for name, row in words.items()} == {"clip_l": (1, WIDTH), "clip_g": (1, WIDTH_2)}
    pipeline = StableDiffusionXLPipeline.from_pretrained("base")
    pipeline.unet.load_state_dict(convert_ldm_unet_checkpoint(dict(original), pipeline.unet.config))
    second = pipeline.text_encoder_2
    second.load_state_dict(convert_open_clip_checkpoint(second, original, "conditioner.embedders.1.model."))
    for name, encoder, tokenizer in (
        ("clip_l", pipeline.text_encoder, pipeline.tokenizer),
        ("clip_g", second, pipeline.tokenizer_2),
    ):
        pipeline.load_textual_inversion(words[name], token="<turtle>", text_encoder=encoder, tokenizer=tokenizer)
    second.text_model.eos_token_id = pipeline.tokenizer_2.eos_token_id
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    noise = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(b"7/0").digest()[:7], "big"))
    picture = pipeline(TEXT, generator=noise, guidance_scale=3.0, num_inference_steps=2).images[0]
    assert np.abs(array(picture) - drawn).max() <= 1


def test_every_part_of_both_text_encoders_is_in_the_base_s_digest(trained: Settings, tmp_path: Path) -> None:
    root = shutil.copytree(trained.root, tmp_path / "copy", ignore=shutil.ignore_patterns(".conceptbooth"))
    settings = Settings(root=root)

    def first_key() -> str:
        (job,) = plan_jobs(settings, ["turtle"])
        return job.trainings[0].key

    keys = [first_key()]
    for file in ("text_encoder/model.safetensors", "text_encoder_2/model.safetensors", "tokenizer_2/tokenizer.json"):
        path = root / "base" / file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if file.endswith("s") else content + b"\n")
        keys.append(first_key())
    assert len(set(keys)) == 4

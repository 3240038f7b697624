"""Bases with joint attention from training to what other programs draw, with tiny models and real services."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from PIL import Image
from prefect.settings import temporary_settings
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.training.train import run_training
from model.weights.concept import ConceptWeights
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.versions import resolve
from tests.exported import drawn_as_the_card_says, names_of_the_card
from tests.model.tiny_joint import JOINT, WIDTH
from tests.training_project import make_training_project, write_params

PROMPT = "a photo of a {} in the snow"


@pytest.fixture(scope="module", params=JOINT)
def trained(tmp_path_factory, evaluator_folder, prefect_url, request) -> Iterator[Settings]:
    """A project whose concept was trained on such a base by the flow."""
    folder = tmp_path_factory.mktemp(request.param)
    root = folder / "project"
    make_training_project(root, JOINT[request.param](folder / "base", side=32), evaluator_folder)
    write_params(root, preset="joint_attention")
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
def version(trained: Settings) -> Path:
    return resolve(trained, VersionReference.parse("turtle")).folder


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.fixture
def drawn(tmp_path: Path) -> np.ndarray:
    """Picture 0 of seed 7, as the cards' examples say."""
    return array(Image.open(run("generate", "turtle", PROMPT, "-n", 1, "--seed", 7, "-o", tmp_path).stdout.strip()))


def test_a_version_holds_the_word_and_a_lora(version: Path, drawn: np.ndarray) -> None:
    weights = ConceptWeights.load(version / "concept.safetensors")
    assert [tuple(row.shape) for row in weights.embeddings] == [(1, WIDTH)]
    assert weights.lora and not weights.changed
    assert drawn.shape == (32, 32, 3)


def test_mlflow_loads_it_and_draws_the_same(version: Path, drawn: np.ndarray) -> None:
    table = mlflow.pyfunc.load_model(str(version.parent)).predict([{"prompt": PROMPT, "seed": 7}])
    assert np.abs(array(Image.open(io.BytesIO(base64.b64decode(table.image[0])))) - drawn).max() <= 1


def test_a_diffusers_folder_draws_the_same(tmp_path: Path, drawn: np.ndarray) -> None:
    run("export", "turtle", "--as", "diffusers", "-o", tmp_path / "turtle")
    assert np.abs(drawn_as_the_card_says(tmp_path / "turtle") - drawn).max() <= 1


def test_a_lora_and_the_words_row_draw_the_same(tmp_path: Path, version: Path, drawn: np.ndarray) -> None:
    run("export", "turtle", "--as", "lora", "-o", tmp_path / "turtle")
    weights = ConceptWeights.load(version / "concept.safetensors")
    saved = load_file(tmp_path / "turtle" / "pytorch_lora_weights.safetensors")
    assert saved.keys() == weights.lora.keys() and all(name.startswith("transformer.") for name in saved)
    assert torch.equal(load_file(tmp_path / "turtle" / "embedding.safetensors")["qwen3_4b"], weights.embeddings[0])
    assert np.abs(array(names_of_the_card(tmp_path / "turtle")["picture"]) - drawn).max() <= 1


def test_what_means_nothing_to_it_is_refused_with_the_reason(trained: Settings, tmp_path: Path) -> None:
    said = run("export", "turtle", "--as", "comfyui", "-o", tmp_path / "turtle", code=2).output
    assert "export it as `diffusers` or `lora`" in " ".join(said.split())
    assert not (tmp_path / "turtle").exists()
    write_params(trained.root, method="dreambooth", preset="joint_attention", unet={"train_text_encoder": True})
    try:
        said = run("plan", "turtle", code=2).output
    finally:
        write_params(trained.root, preset="joint_attention")
    assert "is a language model of billions" in " ".join(said.split())

"""What `conceptbooth compare` and `tune` refuse, through the command line: exit 2, all of it at once, nothing made."""

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.store.store import open_store
from tests.model.tiny import write_tiny_identity_model
from tests.training_project import make_training_project, write_params


@pytest.fixture(scope="module")
def made(tmp_path_factory, base_folder, evaluator_folder):
    root = tmp_path_factory.mktemp("refused") / "project"
    return make_training_project(root, base_folder, evaluator_folder)


@pytest.fixture
def project(made, prefect_url, monkeypatch):
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    write_params(made.root)
    return made


def refused(project, *command: str) -> str:
    result = CliRunner().invoke(app, [*command])
    assert result.exit_code == 2, result.stderr
    assert open_store(project).artefacts() == set(), "nothing was made"
    return " ".join(result.stderr.split())


def test_models_that_measure_and_cannot(project):
    write_tiny_identity_model(project.root / "vit")
    write_params(project.root, evaluator="vit", identity_model="evaluator")
    said = refused(project, "compare", "turtle", "--methods", "attndreambooth")
    assert "evaluator 'vit' is a vit model; one with image and text, a CLIPModel, is needed" in said.replace(
        f"{project.root}/", ""
    )
    assert "is a clip model; a ViTModel or Dinov2Model, such as DINO, is needed" in said


def test_a_rare_token_that_is_the_category(project):
    """The base could not tell [V] from it."""
    write_params(project.root, method="dreambooth", unet={"rare_token": "turtle"})
    said = refused(project, "compare", "turtle", "--methods", "dreambooth")
    assert "rare token 'turtle': part of super-category 'turtle', so the base could not tell [V] from it" in said


def test_settings_that_do_not_go_together(project):
    write_params(project.root, method="textual_inversion", embedding={"attention_mean_weight": 1.0})
    said = refused(project, "compare", "turtle", "--methods", "textual_inversion", "--seeds", "1,1")
    assert "embedding: the attention-map term compares [V] with its super-category" in said
    assert "seed 1: asked for twice" in said


def test_a_grid_and_its_concepts(project, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "{concepts: [tortle], seeds: [0], images_per_prompt: 1, methods: {dreambooth: {preset: toyworld, tries: [{}]}}}"
    )
    assert "concept 'tortle': there is none" in refused(project, "tune", str(grid))
    grid.write_text(
        "{concepts: [turtle], seeds: [0], images_per_prompt: 1, methods: {dreamboth: {preset: x, tries: [{}]}}}"
    )
    assert "method 'dreamboth': unknown" in refused(project, "tune", str(grid))


def test_a_scene_that_the_evaluator_cannot_read_whole(project):
    (project.root / "prompts.yaml").write_text(
        "prompts: [{prompt: 'a photo of a {} in the snow'}]\n"
        "scenes: [in the snow, on a wooden table in the old kitchen]\n"
    )
    said = refused(project, "compare", "turtle", "--methods", "attndreambooth")
    assert 'prompt "a photo of a turtle on a wooden table in the old kitchen": ' in said and "shorten it" in said

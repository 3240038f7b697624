"""A project that trains in seconds: tiny models, one concept of five small pictures, real MLflow database."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from model.methods.presets import METHODS
from tasks.project.settings import Settings
from tests.data_project import photo
from tests.model.tiny import write_tiny_identity_model
from tests.tasks.finished_training import migrated_database

PARAMS: dict[str, Any] = {
    "base": "base",
    "evaluator": "evaluator",
    "identity_model": "identity",
    "method": "attndreambooth",
    "preset": "toyworld",
    "stages": {
        stage: {"max_train_steps": 2, "batch_size": 1, "augmented_views": 4}
        for stage in ("embedding", "cross_attention", "unet")
    },
    "prepare": {"max_short_side": 64},
    "sampling": {"guidance_scale": 3.0, "num_inference_steps": 2},
    "evaluation": {"prompts": "prompts.yaml", "images_per_prompt": 2, "base_images_per_prompt": 1},
}
POLICY = "minimum: {clip_i: -1}\nnot_worse_than_champion: [clip_i, clip_t]\n"
PROMPTS = ("a photo of a {} in the snow", "a {} on the beach")


def make_training_project(root: Path, base_folder: Path, evaluator_folder: Path) -> Settings:
    """A project at `root` with the concept `turtle` and copies of the two models."""
    shutil.copytree(base_folder, root / "base")
    shutil.copytree(evaluator_folder, root / "evaluator")
    write_tiny_identity_model(root / "identity")
    (root / ".gitignore").write_text(".conceptbooth/\n")
    (root / "prompts.yaml").write_text(yaml.safe_dump({"prompts": [{"prompt": prompt} for prompt in PROMPTS]}))
    (root / "mlflow").mkdir()
    (root / "mlflow" / "promotion.yaml").write_text(POLICY)
    write_params(root)
    add_concept(root, "turtle")
    database = root / ".conceptbooth" / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(migrated_database(), database)
    return Settings(root=root)


def write_params(root: Path, **changes: Any) -> None:
    """Write params.yaml; a section in `changes` is merged into the usual one, `unet={...}` into that stage."""
    params = {name: dict(value) if isinstance(value, dict) else value for name, value in PARAMS.items()}
    presets = METHODS.get(changes.get("method", params["method"]))  # a test may write a method that does not exist
    if presets:
        params["stages"] = {stage.name: params["stages"][stage.name] for stage in presets[params["preset"]].stages}
    for name, value in changes.items():
        if name in params["stages"]:
            params["stages"][name] = params["stages"][name] | value
        elif isinstance(value, dict):
            params[name] = params[name] | value
        else:
            params[name] = value
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def add_concept(root: Path, name: str, first_photo: int = 0, **facts: str) -> Path:
    """A concept folder with five pictures of 48 pixels."""
    folder = root / "data" / "concepts" / name
    (folder / "images").mkdir(parents=True)
    for number in range(5):
        photo(first_photo + number, 48, 48).save(folder / "images" / f"{number:02}.png")
    write_concept(folder, **facts)
    return folder


def write_concept(folder: Path, **facts: str) -> None:
    """Write concept.yaml."""
    usual = {"super_category": "turtle", "licence": "MIT", "source": "made up", "consent": "none needed"}
    (folder / "concept.yaml").write_text(yaml.safe_dump(usual | facts))

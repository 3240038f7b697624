"""Weights in several files: from a folder, from a hub, and from what the hub left in this machine's cache."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, ViTModel

from model.bases.base import load_base
from model.bases.parameters import parameters_of
from model.errors import InputError
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from tests.hub import COMMIT, hub
from tests.model.tiny import write_tiny_clip, write_tiny_identity_model
from tests.model.tiny_joint import write_tiny_z_image

PARTS = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}


def split(model_class: type, folder: Path) -> None:
    """Write a model's weights again, in several files."""
    model = model_class.from_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    assert len(list(folder.glob("*-of-*.safetensors"))) > 1
    assert len(list(folder.glob("*.safetensors.index.json"))) == 1


@pytest.fixture(scope="module")
def sharded(base_folders, tmp_path_factory) -> Path:
    """The tiny XL in shards, beside what many repositories have too and nobody here reads."""
    folder = shutil.copytree(base_folders["xl"], tmp_path_factory.mktemp("sharded") / "xl")
    for part, model_class in PARTS.items():
        split(model_class, folder / part)
    shutil.copy(folder / "unet" / "config.json", folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "xl_base.safetensors").write_bytes(b"one file for other programs")
    return folder


def assert_same(one, other) -> None:
    mine, theirs = parameters_of(one), parameters_of(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_folder_of_shards_is_the_base_that_it_was(sharded, bases, tmp_path):
    assert_same(load_base(str(sharded)), bases["xl"])
    folder = shutil.copytree(sharded, tmp_path / "xl")
    lost = sorted((folder / "text_encoder_2").glob("*-of-*.safetensors"))[-1]
    lost.unlink()
    with pytest.raises(InputError, match=rf"text_encoder_2/: .*index.json names '{lost.name}', which is not there"):
        load_base(str(folder))


def test_the_hub_gives_the_shards_and_its_cache_has_them_from_then_on(sharded, bases, tmp_path, monkeypatch):
    split(CLIPModel, clip := write_tiny_clip(tmp_path / "clip"))
    split(ViTModel, vit := write_tiny_identity_model(tmp_path / "vit"))
    joint = write_tiny_z_image(tmp_path / "joint", shard="8KB")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub({"some/xl": sharded, "some/clip": clip, "some/vit": vit, "some/joint": joint}) as (address, fetched):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        assert_same(load_base("some/xl", COMMIT), bases["xl"])
        assert_same(load_base("some/joint", COMMIT), load_base(str(joint)))
        Evaluator.load("some/clip", COMMIT)
        IdentityModel.load("some/vit", COMMIT)
    weights = {name for name in fetched if name.endswith((".safetensors", ".bin"))}
    shards = [file for folder in (sharded, clip, vit, joint) for file in folder.rglob("*-of-*.safetensors")]
    assert len([name for name in weights if "-of-" in name]) == len(shards)
    assert {Path(name).name for name in weights if "-of-" not in name} <= {"diffusion_pytorch_model.safetensors"}

    snapshot = tmp_path / "cache" / "models--some--xl" / "snapshots" / COMMIT
    assert all(file.is_symlink() for file in (snapshot / "unet").iterdir()), "as the hub's cache is laid out"
    assert_same(load_base("some/xl", COMMIT), bases["xl"])  # the hub is gone
    assert_same(load_base(str(snapshot)), bases["xl"])
    index = json.loads((snapshot / "unet" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    lost = next(iter(index["weight_map"].values()))
    (snapshot / "unet" / lost).unlink()  # as of a download that was stopped
    with pytest.raises(InputError, match=r"'some/xl' at c+: the hub does not give it .*Connection refused"):
        load_base("some/xl", COMMIT)
    with pytest.raises(InputError, match=f"names '{lost}', which is not there"):
        load_base(str(snapshot))

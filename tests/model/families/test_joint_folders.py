"""What a folder must hold to be a base with joint attention, and what is refused, with the reason."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.bases.base import load_base
from model.bases.base_files import base_resolution, check_base_folder
from model.bases.distillation import distilled
from model.errors import InputError
from model.families.klein import KLEIN
from model.families.z_image import Z_IMAGE
from tests.model.tiny_joint import JOINT, write_tiny_klein

SAID = {
    "both": [
        ("transformer/config.json", {"_class_name": "UNet2DConditionModel"}, "is a UNet2DConditionModel, "),
        ("transformer/config.json", {"quantization_config": {"quant_method": "fp8"}}, "quantised"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "is a ['T5EncoderModel'], "),
        ("vae/config.json", {"sample_size": 60}, "a multiple of 8"),
        ("vae/config.json", {"sample_size": None}, "sample_size None"),
        ("vae/config.json", {"block_out_channels": None}, "block_out_channels is not said"),
        ("vae/config.json", {"latent_channels": None}, "vae/ makes None"),
        ("text_encoder/config.json", {"hidden_size": None}, "text_encoder/ makes "),
        ("vae/config.json", {"_class_name": "AutoencoderTiny"}, "is a AutoencoderTiny, "),
        ("scheduler/scheduler_config.json", {"_class_name": "DDPMScheduler"}, "FlowMatchEulerDiscreteScheduler"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 500}, "500 timesteps"),
        ("scheduler/scheduler_config.json", {"shift": "6"}, "shift '6': a number"),
        ("scheduler/scheduler_config.json", {"use_karras_sigmas": True}, "use_karras_sigmas True"),
        (
            "model_index.json",
            {"_class_name": "Flux2Pipeline"},
            "of such bases only Z-Image and FLUX.2 klein can be taught here: name one of ",
        ),
    ],
    "z-image": [
        ("model_index.json", {"_class_name": "ZImageOmniPipeline"}, "draws from pictures beside text"),
        ("model_index.json", {"_class_name": "Flux2KleinPipeline"}, ", Flux2Transformer2DModel is needed"),
        ("transformer/config.json", {"_class_name": "Flux2Transformer2DModel"}, ", ZImageTransformer2DModel is needed"),
        ("transformer/config.json", {"siglip_feat_dim": 1152}, "Omni"),
        ("transformer/config.json", {"all_patch_size": [2, 4]}, "all_patch_size [2, 4]"),
        ("transformer/config.json", {"in_channels": 16}, "takes 16 channels and vae/ makes 4"),
        ("transformer/config.json", {"cap_feat_dim": 2560}, "reads text states of width 2560, text_encoder/ makes 32"),
        ("transformer/config.json", {"dim": 96}, "dim 96, and its weights have 48"),
        ("vae/config.json", {"_class_name": "AutoencoderKLFlux2"}, ", AutoencoderKL is needed"),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": True}, "a fixed shift is needed"),
    ],
    "klein": [
        ("model_index.json", {"is_distilled": True}, "distilled to draw in a few steps"),
        ("model_index.json", {"_class_name": "Flux2KleinInpaintPipeline"}, "draws from pictures beside text"),
        ("model_index.json", {"_class_name": "ZImagePipeline"}, ", ZImageTransformer2DModel is needed"),
        ("transformer/config.json", {"_class_name": "ZImageTransformer2DModel"}, ", Flux2Transformer2DModel is needed"),
        ("transformer/config.json", {"guidance_embeds": True}, "as FLUX.2 dev was"),
        ("transformer/config.json", {"in_channels": 64}, "takes 64 channels and vae/ makes 4, of which 2 x 2"),
        ("transformer/config.json", {"out_channels": 4}, "takes 16 channels and makes 4"),
        ("transformer/config.json", {"patch_size": 2}, "patch_size 2; 1 is needed"),
        ("transformer/config.json", {"axes_dims_rope": [4, 4, 4, 8]}, "their sum has to be 16"),
        ("transformer/config.json", {"axes_dims_rope": [[4, 4], 4, 4]}, "their sum has to be 16"),
        ("transformer/config.json", {"axes_dims_rope": None}, "their sum has to be 16"),
        ("transformer/config.json", {"in_channels": None}, "takes 128 channels"),
        ("transformer/config.json", {"joint_attention_dim": 7680}, "of width 7680, text_encoder/ makes 3 x 32"),
        ("transformer/config.json", {"num_single_layers": "2"}, "num_single_layers '2'"),
        ("text_encoder/config.json", {"num_hidden_layers": 27}, "27 layers, and the states behind the 27th of more"),
        ("text_encoder/config.json", {"architectures": ["Qwen3Model"]}, "a Qwen3ForCausalLM is needed"),
        ("vae/config.json", {"_class_name": "AutoencoderKL"}, ", AutoencoderKLFlux2 is needed"),
        ("vae/config.json", {"patch_size": [1, 1]}, "patch_size [1, 1]"),
        ("vae/config.json", {"batch_norm_eps": -1}, "batch_norm_eps -1"),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": False}, "a shift by the picture's size is needed"),
        ("scheduler/scheduler_config.json", {"time_shift_type": "cosine"}, "one of exponential, linear"),
    ],
}
"""By family the file, values in it, and what is said of them."""


@pytest.fixture
def folder(joint_folder, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(joint_folder, tmp_path / "base")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_base_is_told_without_its_weights(folder, joint_folder):
    assert check_base_folder(folder) is {"z-image": Z_IMAGE, "klein": KLEIN}[joint_folder.name]
    assert base_resolution(folder) == 64
    assert distilled(folder) is None


def test_weights_in_several_files_are_read(joint_base, joint_folder, tmp_path):
    sharded = JOINT[joint_folder.name](tmp_path / "sharded", shard="50KB")
    assert len(list((sharded / "text_encoder").glob("model-*.safetensors"))) > 1
    several = load_base(str(sharded))
    for ours, theirs in (
        (joint_base.denoiser, several.denoiser),
        (joint_base.text_encoders[0].model, several.text_encoders[0].model),
    ):
        assert all(torch.equal(theirs.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


def test_other_kinds_are_refused_by_name(folder, joint_folder):
    for file, values, said in (*SAID["both"], *SAID[joint_folder.name]):
        before = (folder / file).read_bytes()
        edit(folder / file, **values)
        with pytest.raises(InputError, match=r"base model '.*/base'") as caught:
            load_base(str(folder))
        assert said in str(caught.value)
        (folder / file).write_bytes(before)


def test_a_distilled_base_is_told_before_anything_else(tmp_path):
    with pytest.raises(InputError, match=r"without guidance .* name the base that it was distilled from"):
        check_base_folder(write_tiny_klein(tmp_path / "base", distilled=True), with_weights=False)


def test_statistics_of_another_size_than_the_latents(tmp_path):
    """What klein reads as one has four times the channels."""
    folder = write_tiny_klein(tmp_path / "base")
    file = folder / "vae/diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"bn.running_mean": torch.zeros(8)}, file)
    with pytest.raises(InputError, match="4 x latent_channels 16, and its weights have 8"):
        load_base(str(folder))


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


def test_turbo_tells_itself_by_its_shift(folder, joint_folder):
    """klein's has a shift of 3, which nothing reads."""
    edit(folder / "scheduler/scheduler_config.json", shift=3.0)
    if joint_folder.name == "z-image":
        assert "shift 3, as Z-Image-Turbo has" in distilled(folder)
    else:
        assert distilled(folder) is None
    load_base(str(folder))

"""The original's names, held against diffusers' own reading of them and against the names that others document."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from model.bases.base import load_base
from model.exports.original_names import (
    original_checkpoint,
    original_clip,
    original_open_clip,
    original_unet,
    original_vae,
)
from tests.model.tiny import write_tiny_xl_base

FROM_THE_DOCUMENTED_CHECKPOINT = {  # of v1-5-pruned.safetensors
    "model.diffusion_model.time_embed.0.weight": (1280, 320),
    "model.diffusion_model.input_blocks.3.0.op.weight": (320, 320, 3, 3),
    "model.diffusion_model.input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
    "model.diffusion_model.input_blocks.8.1.transformer_blocks.0.attn2.to_k.weight": (1280, 768),
    "model.diffusion_model.middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
    "model.diffusion_model.middle_block.2.out_layers.3.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias": (320,),
    "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    "first_stage_model.encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
    "first_stage_model.encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
    "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
    "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
    "first_stage_model.decoder.norm_out.weight": (128,),
    "first_stage_model.post_quant_conv.weight": (4, 4, 1, 1),
}


@pytest.fixture(scope="module")
def base(base_folder):
    return load_base(str(base_folder))


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_diffusers_reads_the_names_back_to_the_very_weights(base):
    unet, vae, text = (dict(part.state_dict()) for part in (base.denoiser, base.vae, base.text_encoders[0].model))
    checkpoint = original_checkpoint(base)
    assert len(checkpoint) == len(unet) + len(vae) + len(text)
    assert same(convert_ldm_unet_checkpoint(dict(checkpoint), base.denoiser.config), unet)
    assert same(convert_ldm_vae_checkpoint(dict(checkpoint), base.vae.config), vae)
    read = convert_ldm_clip_checkpoint(dict(checkpoint))
    assert same({name.removeprefix("text_model."): tensor for name, tensor in read.items()}, text)


def test_open_clips_names_are_read_back_too(base):
    text = dict(base.text_encoders[0].model.state_dict())
    read = convert_open_clip_checkpoint(
        CLIPTextModel(base.text_encoders[0].model.config), original_open_clip(text, "cond_stage_model.model.")
    )
    assert same({name.removeprefix("text_model."): tensor for name, tensor in read.items()}, text)
    names = original_open_clip(text, "cond_stage_model.model.")
    assert "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight" in names
    assert original_clip(text, "cond_stage_model.transformer.").keys().isdisjoint(names)


def test_the_names_of_stable_diffusion_1_5_are_those_of_its_checkpoint():
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    names = original_unet(unet.state_dict(), 2) | original_vae(vae.state_dict(), 4)
    assert len(original_unet(unet.state_dict(), 2)) == 686
    assert len(original_vae(vae.state_dict(), 4)) == 248
    assert {name: tuple(names[name].shape) for name in FROM_THE_DOCUMENTED_CHECKPOINT} == FROM_THE_DOCUMENTED_CHECKPOINT


FROM_THE_XL_CHECKPOINT = {  # of sd_xl_base_1.0.safetensors
    "model.diffusion_model.label_emb.0.0.weight": (1280, 2816),
    "model.diffusion_model.label_emb.0.2.bias": (1280,),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight": (640, 2048),
    "model.diffusion_model.input_blocks.8.1.transformer_blocks.9.attn2.to_v.weight": (1280, 2048),
    "model.diffusion_model.input_blocks.4.1.proj_in.weight": (640, 640),
    "model.diffusion_model.middle_block.1.transformer_blocks.9.norm3.weight": (1280,),
    "model.diffusion_model.output_blocks.2.2.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.5.1.transformer_blocks.1.ff.net.0.proj.weight": (5120, 640),
    "model.diffusion_model.output_blocks.8.0.skip_connection.weight": (320, 640, 1, 1),
}


def test_the_names_of_stable_diffusion_xl_are_those_of_its_checkpoint():
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
    names = original_unet(unet.state_dict(), 2)
    assert len(names) == 1680
    assert {name: tuple(names[name].shape) for name in FROM_THE_XL_CHECKPOINT} == FROM_THE_XL_CHECKPOINT


def test_diffusers_reads_back_both_text_encoders_of_xl(tmp_path):
    base = load_base(str(write_tiny_xl_base(tmp_path / "xl")))
    checkpoint = original_checkpoint(base)
    unet, vae = dict(base.denoiser.state_dict()), dict(base.vae.state_dict())
    first, second = (encoder.model for encoder in base.text_encoders)
    assert same(convert_ldm_unet_checkpoint(dict(checkpoint), base.denoiser.config), unet)
    assert same(convert_ldm_vae_checkpoint(dict(checkpoint), base.vae.config), vae)
    read = convert_ldm_clip_checkpoint(dict(checkpoint))
    own = first.state_dict()
    assert same({name.removeprefix("text_model."): tensor for name, tensor in read.items()}, own)
    empty = CLIPTextModelWithProjection(second.config)
    assert same(
        convert_open_clip_checkpoint(empty, checkpoint, "conditioner.embedders.1.model."), dict(second.state_dict())
    )
    text = len(own) + len(second.state_dict()) - 4 * second.config.num_hidden_layers  # q, k and v are one there
    assert len(checkpoint) == len(unet) + len(vae) + text

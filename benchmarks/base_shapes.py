"""Bases of random weights in the shape of the real ones: they cost what the real ones cost, and need no download."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTokenizer

from model.bases.base import Base
from model.bases.base_files import ModelSource
from model.bases.text_encoder import TextEncoder
from model.families.family import Family, TextPart
from model.families.stable_diffusion import STABLE_DIFFUSION, STABLE_DIFFUSION_XL

TOKENIZER = Path(__file__).resolve().parents[1] / "toyworld" / "base" / "tokenizer"
"""It reads other words than CLIP's does, and as many places; the embedding matrices are as large as CLIP's."""
_TOKENS = 77


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What decides how large a base is, in the words of diffusers' and transformers' configurations."""

    family: Family
    unet: Mapping[str, Any]
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    vae_layers: int = 2
    text: tuple[Mapping[str, Any], ...]
    tokens: int = _TOKENS
    words: int = 49408
    prediction_type: str = "epsilon"


def _text(width: int, layers: int, heads: int, **others: Any) -> dict[str, Any]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "intermediate_size": 4 * width, **others}


_FOUR_BLOCKS: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
_THREE_BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
SHAPES = {
    "sd-2.1": Shape(
        family=STABLE_DIFFUSION,
        unet={
            **_FOUR_BLOCKS,
            "sample_size": 64,
            "block_out_channels": (320, 640, 1280, 1280),
            "attention_head_dim": (5, 10, 20, 20),
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
        },
        text=(_text(1024, 23, 16, hidden_act="gelu"),),
    ),
    "sdxl": Shape(
        family=STABLE_DIFFUSION_XL,
        unet={
            **_THREE_BLOCKS,
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "layers_per_block": 2,
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 768 + 1280,
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 6 * 256 + 1280,
        },
        text=(_text(768, 12, 12), _text(1280, 32, 20, hidden_act="gelu", projection_dim=1280)),
    ),
    "tiny-sd": Shape(
        family=STABLE_DIFFUSION,
        unet={
            **_FOUR_BLOCKS,
            "sample_size": 8,
            "block_out_channels": (8, 16, 16, 16),
            "attention_head_dim": 2,
            "cross_attention_dim": 16,
            "norm_num_groups": 4,
        },
        vae_channels=(4, 8),
        vae_layers=1,
        text=(_text(16, 2, 2),),
        tokens=16,
        words=1600,
    ),
    "tiny-xl": Shape(
        family=STABLE_DIFFUSION_XL,
        unet={
            **_THREE_BLOCKS,
            "sample_size": 8,
            "block_out_channels": (8, 16, 16),
            "layers_per_block": 1,
            "transformer_layers_per_block": (1, 1, 2),
            "attention_head_dim": 2,
            "cross_attention_dim": 16 + 24,
            "norm_num_groups": 4,
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + 24,
        },
        vae_channels=(4, 8),
        vae_layers=1,
        text=(_text(16, 2, 2), _text(24, 3, 2, projection_dim=24)),
        tokens=16,
        words=1600,
    ),
}
"""By name: Stable Diffusion 2.1-base and XL base 1.0, and one of each that a CPU trains in seconds."""


def sd_shape(width: int, pixels: int) -> Shape:
    """The shape of Stable Diffusion 2.1 with other channels in the UNet and smaller pictures; the VAE stays as it is.

    `width`, of the UNet's outermost blocks, is a multiple of 40: heads are 40 channels wide.
    """
    if width % 40 or pixels % 64:
        raise ValueError(f"width {width}, pixels {pixels}: multiples of 40 and of 64 are needed")
    channels = (width, 2 * width, 4 * width, 4 * width)
    return Shape(
        family=STABLE_DIFFUSION,
        unet={
            **_FOUR_BLOCKS,
            "sample_size": pixels // 8,
            "block_out_channels": channels,
            "attention_head_dim": tuple(each // 40 for each in channels),  # how diffusers calls their number
            "cross_attention_dim": 512,
            "norm_num_groups": math.gcd(32, width),
            "use_linear_projection": True,
        },
        text=(_text(512, 12, 8),),
    )


def random_base(name: str, device: torch.device) -> Base:
    """A frozen base of one of SHAPES with random weights, made on the device."""
    return base_of(SHAPES[name], name, device)


def base_of(shape: Shape, name: str, device: torch.device) -> Base:
    """A frozen base of that shape with random weights, made on the device; the same on every call."""
    torch.manual_seed(0)
    with device:
        unet = UNet2DConditionModel(**shape.unet)
        vae = AutoencoderKL(
            sample_size=8 * shape.unet["sample_size"],
            block_out_channels=shape.vae_channels,
            layers_per_block=shape.vae_layers,
            down_block_types=("DownEncoderBlock2D",) * len(shape.vae_channels),
            up_block_types=("UpDecoderBlock2D",) * len(shape.vae_channels),
            norm_num_groups=min(32, shape.vae_channels[0] // 2),
        )
        parts = zip(shape.family.text, shape.text, strict=True)
        text_encoders = tuple(_text_encoder(shape, part, settings) for part, settings in parts)
    for module in (unet, vae):
        module.eval().requires_grad_(False)
        if device.type == "cuda":
            module.to(memory_format=torch.channels_last)  # as `model.bases.base.load_base` does
    return Base(
        source=ModelSource(name, None),
        family=shape.family,
        text_encoders=text_encoders,
        vae=vae,
        denoiser=unet,
        noise_scheduler=DDPMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type=shape.prediction_type,
            clip_sample=False,
            steps_offset=1,
        ),
        zeros_for_nothing=shape.family.zero_option is not None,
        device=device,
    )


def _text_encoder(shape: Shape, part: TextPart, settings: Mapping[str, Any]) -> TextEncoder:
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=shape.tokens)
    config = CLIPTextConfig(
        vocab_size=shape.words,
        max_position_embeddings=shape.tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    model = getattr(transformers, part.model_class)(config)
    return TextEncoder(
        part=part, reader=shape.family.reader(tokenizer, config.to_dict()), model=model.eval().requires_grad_(False)
    )

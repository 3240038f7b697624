"""Configurations of published bases, from which their memory is told where no folder of theirs is at hand.

Only what decides shapes, and what a check of a base asks for; what is left out is as the libraries have it by default.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.bases.base_files import INDEX

_CLIP_TOKENS = 77
_FOUR_BLOCKS: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
}
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "sample_size": 512,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
_NOISE = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "steps_offset": 1,
}


def _clip(width: int, layers: int, heads: int, kind: str = "CLIPTextModel", **others: Any) -> dict[str, Any]:
    return {
        "architectures": [kind],
        "model_type": "clip_text_model",
        "vocab_size": 49408,
        "max_position_embeddings": _CLIP_TOKENS,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        **others,
    }


def _pipeline(kind: str, *text: str) -> dict[str, Any]:
    encoders = {part: ["transformers", "CLIPTextModel"] for part in text}
    return {"_class_name": kind, "unet": ["diffusers", "UNet2DConditionModel"], **encoders}


PUBLISHED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "sd15": {
        INDEX: _pipeline("StableDiffusionPipeline", "text_encoder"),
        "unet": {**_FOUR_BLOCKS, "attention_head_dim": 8, "cross_attention_dim": 768},
        "vae": _VAE,
        "text_encoder": _clip(768, 12, 12),
        "scheduler": _NOISE,
    },
    "sd21": {
        INDEX: _pipeline("StableDiffusionPipeline", "text_encoder"),
        "unet": {
            **_FOUR_BLOCKS,
            "attention_head_dim": [5, 10, 20, 20],
            "cross_attention_dim": 1024,
            "use_linear_projection": True,
        },
        "vae": _VAE,
        "text_encoder": _clip(1024, 23, 16, hidden_act="gelu"),
        "scheduler": _NOISE,
    },
    "sdxl": {
        INDEX: _pipeline("StableDiffusionXLPipeline", "text_encoder", "text_encoder_2"),
        "unet": {
            "_class_name": "UNet2DConditionModel",
            "sample_size": 128,
            "in_channels": 4,
            "out_channels": 4,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "block_out_channels": [320, 640, 1280],
            "layers_per_block": 2,
            "transformer_layers_per_block": [1, 2, 10],
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 768 + 1280,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 6 * 256 + 1280,
        },
        "vae": {**_VAE, "sample_size": 1024, "force_upcast": True},
        "text_encoder": _clip(768, 12, 12),
        "text_encoder_2": _clip(
            1280, 32, 20, "CLIPTextModelWithProjection", hidden_act="gelu", projection_dim=1280, eos_token_id=2
        ),
        "scheduler": _NOISE,
    },
}
"""By the short name of a base, then by part: Stable Diffusion 1.5, 2.1-base and XL base 1.0."""


def write_published(name: str, folder: Path, tokenizer: Path) -> Path:
    """Write the configurations of one of PUBLISHED as a pipeline folder without weights; return it.

    `tokenizer` is the folder of any CLIP tokenizer: its words are others, and its prompts become as many tokens.
    """
    for part, config in PUBLISHED[name].items():
        file = INDEX if part == INDEX else f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(config), encoding="utf-8")
    for part in PUBLISHED[name]:
        if part.startswith("text_encoder"):
            own = folder / part.replace("text_encoder", "tokenizer")
            shutil.copytree(tokenizer, own)
            settings = json.loads((own / "tokenizer_config.json").read_text(encoding="utf-8"))
            settings["model_max_length"] = _CLIP_TOKENS
            (own / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder

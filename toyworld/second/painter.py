"""What is trained: a UNet in Stable Diffusion's shape and its text encoder, as one module.

The text encoder learns from the denoising loss itself, as that of the first latent diffusion models did (Rombach et al.
2022, section 4.3.1): a word then means what it changes in a picture, down to shapes that no contrast with other
captions would ask for.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from toyworld import denoiser as shared


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of the denoiser's training."""

    channels: tuple[int, ...] = (64, 128, 224)
    heads: tuple[int, ...] = (2, 4, 4)
    latent_channels: int = 8
    text_width: int = 160
    text_layers: int = 6
    text_heads: int = 5
    batch: int = 64
    """Samples of a step, all processes together."""
    muon_lr: float = 2e-3
    adam_lr: float = 1e-3
    ema: float = 0.9995
    caption_dropout: float = 0.10
    warmup: int = 12_800
    """Samples over which the rates rise, at the beginning and after a start from a milestone."""
    seed: int = 0


class Painter(nn.Module):
    """UNet and text encoder as one module: what is trained, averaged and kept together."""

    def __init__(self, recipe: Recipe, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text = build_text_encoder(recipe, tokenizer)
        sizes = shared.Recipe(channels=recipe.channels, heads=recipe.heads)
        self.unet = shared.build(sizes, recipe.latent_channels, recipe.text_width)

    def fast_on(self, device: torch.device) -> "Painter":
        """Move to a device, with the attention whose backward pass is the fastest there."""
        if device.type == "cpu":
            self.unet.set_attn_processor(AttnProcessor())
            self.text.set_attn_implementation("eager")
        return self.to(device)

    def loss(self, latents: Tensor, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """The velocity loss of a batch: latents (batch, channels, 16, 16), tokens (batch, length)."""
        with torch.autocast(latents.device.type, dtype=torch.bfloat16):
            states = self.text(tokens).last_hidden_state
        return shared.velocity_loss(self.unet, shared.scheduler(), latents, states, generator)


def build_text_encoder(recipe: Recipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text half of CLIP, as long as the tokenizer's prompts."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=tokenizer.model_max_length,
            hidden_size=recipe.text_width,
            intermediate_size=4 * recipe.text_width,
            num_hidden_layers=recipe.text_layers,
            num_attention_heads=recipe.text_heads,
            projection_dim=recipe.text_width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def load_milestone(painter: Painter, folder: Path) -> None:
    """Put the weights of a base that was committed on the way into a painter."""
    painter.unet.load_state_dict(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    text = load_file(folder / "text_encoder" / "model.safetensors")
    own = painter.text.state_dict()
    painter.text.load_state_dict({k: text[k] if k in text else text[f"text_model.{k}"] for k in own})

"""A base model, loaded and frozen: the parts of a Stable Diffusion pipeline that training and sampling need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from model.base_files import ModelSource, check_base_folder, model_source
from model.pretrained import fetch, load_frozen
from model.quiet import quiet_libraries
from model.tokens import base_tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

# Other files of a hub repository (half precision, pickles, single-file checkpoints) would only cost time and disk.
_HUB_FILES = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/*",
    "*/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A frozen text-to-image model, float32, in evaluation mode."""

    source: ModelSource
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    noise_scheduler: DDPMScheduler
    device: torch.device

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: `epsilon` (the noise) or `v_prediction` (the velocity)."""
        return str(self.noise_scheduler.config.prediction_type)

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return int(self.unet.config.sample_size * self.vae_scale_factor)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels to one latent, along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))


def load_base(reference: str, revision: str | None = None, *, device: torch.device | str = "cpu") -> Base:
    """Load Stable Diffusion 1.x or 2.x from a pipeline folder, or from the hub at a 40-digit commit.

    Raises InputError if it is not there, is another kind of model, or is not in safetensors.
    """
    source = model_source(reference, revision)
    folder = fetch(source, _HUB_FILES)
    check_base_folder(folder)
    device = torch.device(device)

    def load(model_class: Any, part: str) -> Any:
        model = load_frozen(model_class, folder / part, f"base model '{reference}': {part}/", device)
        # CUDA's convolutions are quicker in this layout; on a CPU it did not pay.
        return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model

    text_encoder = load(CLIPTextModel, "text_encoder")
    tokenizer = base_tokenizer(folder, reference)
    with quiet_libraries():
        noise_scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
    return Base(
        source=source,
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=load(AutoencoderKL, "vae"),
        unet=load(UNet2DConditionModel, "unet"),
        noise_scheduler=noise_scheduler,
        device=device,
    )

"""A base model, loaded and frozen: the parts of a pipeline that training and sampling need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from model.bases.base_files import INDEX, ModelSource, check_base_folder, empty_prompt_is_zero, model_source
from model.bases.pretrained import fetch, load_frozen
from model.bases.text_encoder import TextEncoder
from model.bases.tokens import base_tokenizers
from model.bases.weight_files import weight_patterns
from model.families.family import Family, of_diffusers
from model.families.known import family_of
from model.reading.documents import read_json

if TYPE_CHECKING:
    from model.families.reader import PromptReader

# Other files of a hub repository (half precision, pickles, single-file checkpoints) would only cost time and disk.
_HUB_CONFIGS = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer*/*",
    "*/config.json",
]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A frozen text-to-image model, float32, in evaluation mode."""

    source: ModelSource
    family: Family
    text_encoders: tuple[TextEncoder, ...]
    vae: Any
    denoiser: Any
    """What is taught to draw: a UNet, a transformer."""
    noise_scheduler: Any
    zeros_for_nothing: bool
    """Whether zeros stand for the empty prompt, as they did in its training."""
    device: torch.device

    @property
    def tokenizers(self) -> tuple[PromptReader, ...]:
        """How its text encoders read prompts, in their order."""
        return tuple(encoder.reader for encoder in self.text_encoders)

    @property
    def prediction_type(self) -> str:
        """What the denoiser predicts: `epsilon` (the noise), `v_prediction` or `flow` (velocities)."""
        return self.family.prediction_type(self.noise_scheduler)

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return self.family.resolution(self.denoiser.config, self.vae.config)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its pictures' latents."""
        return self.family.latent_shape(self.denoiser.config, self.vae.config)

    @property
    def size_step(self) -> int:
        """Pixels to one latent, along one side."""
        return self.resolution // self.latent_shape[-1]

    @property
    def time_ids(self) -> torch.Tensor:
        """Sizes of a picture as the base draws it, whole and in its own resolution, (1, 6): see `augment.View`."""
        return self.time_ids_of(self.resolution, self.resolution)

    def time_ids_of(self, height: int, width: int) -> torch.Tensor:
        """The same of a picture of another size."""
        return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32, device=self.device)


def load_base(reference: str, revision: str | None = None, *, device: torch.device | str = "cpu") -> Base:
    """Load a base of one of `model.families.known` from a pipeline folder, or from the hub at a 40-digit commit.

    Raises InputError if it is not there, is another kind of model, or is not in safetensors.
    """
    source = model_source(reference, revision)
    folder = fetch(source, _HUB_CONFIGS)
    check_base_folder(folder, with_weights=source.folder is not None)
    family = family_of(read_json(folder / INDEX, INDEX))
    if source.folder is None:  # gigabytes come only once it is known that they can be used
        weights = [file for part, name in family.models.items() for file in weight_patterns(f"{part}/{name}")]
        folder = fetch(source, _HUB_CONFIGS + weights)
        check_base_folder(folder)
    device = torch.device(device)

    def load(model_class: Any, part: str) -> Any:
        what = f"base model '{reference}': {part}/"
        model = load_frozen(model_class, folder / part, what, device, weights=family.models[part])
        # CUDA's convolutions are quicker in this layout; on a CPU it did not pay.
        return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model

    text_encoders = tuple(
        TextEncoder(part=part, reader=reader, model=load(getattr(transformers, part.model_class), part.folder))
        for part, reader in zip(family.text, base_tokenizers(folder, reference), strict=True)
    )
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return Base(
        source=source,
        family=family,
        text_encoders=text_encoders,
        vae=load(of_diffusers(family.vae.model_class), family.vae.folder),
        denoiser=load(of_diffusers(family.denoiser.model_class), family.denoiser.folder),
        noise_scheduler=family.scheduler(read_json(scheduler, str(scheduler))),
        zeros_for_nothing=empty_prompt_is_zero(folder, family),
        device=device,
    )

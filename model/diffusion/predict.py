"""One forward pass of a base's denoiser, with everything that it reads."""

import torch

from model.bases.base import Base
from model.families.prompt_embeds import PromptEmbeds


def predict(
    base: Base, noisy: torch.Tensor, timesteps: torch.Tensor, text: PromptEmbeds, time_ids: torch.Tensor
) -> torch.Tensor:
    """What the denoiser makes of noisy latents (batch, channels, height, width): noise or velocity, of the same shape.

    `timesteps` is one for all or (batch,); `text` has one prompt for each of the batch, and `time_ids` (batch, 6) the
    sizes of its picture (`model.diffusion.augment.View`), which not every base reads.
    """
    return base.family.predict(base.denoiser, noisy, timesteps, text, time_ids)

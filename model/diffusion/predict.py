"""One forward pass of a base's UNet, with everything that it reads."""

import torch

from model.bases.base import Base
from model.diffusion.text_encoding import PromptEmbeds


def predict(
    base: Base, noisy: torch.Tensor, timesteps: torch.Tensor, text: PromptEmbeds, time_ids: torch.Tensor
) -> torch.Tensor:
    """What the UNet makes of noisy latents (batch, channels, height, width): noise or velocity, of the same shape.

    `timesteps` is one for all or (batch,); `text` has one prompt for each of the batch, and `time_ids` (batch, 6) the
    sizes of its picture (`model.diffusion.augment.View`), which a base without pooled states does not read.
    """
    beside = None if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}
    return base.unet(noisy, timesteps, text.states, added_cond_kwargs=beside).sample

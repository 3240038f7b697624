"""One forward pass of a base's UNet, with everything that it reads."""

import torch

from model.base import Base
from model.text_encoding import PromptEmbeds


def predict(base: Base, noisy: torch.Tensor, timesteps: torch.Tensor, text: PromptEmbeds) -> torch.Tensor:
    """What the UNet makes of noisy latents (batch, channels, height, width): noise or velocity, of the same shape.

    `timesteps` is one for all or (batch,); `text` has one prompt for each of the batch.
    """
    return base.unet(noisy, timesteps, text.states).sample

"""Cosines between two measured ends: 0 is what the untrained base comes to, or chance, 1 the best there can be.

The raw cosines of identity span much more between a useless and a perfect model than those of CLIP's text, so a product
or a sum of them would be a score of identity. Between ends that are measured for each concept both count alike.
"""

from dataclasses import dataclass

import torch

from model.scores.image_scores import likeness_beyond_nearest, prompt_likeness


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The cosines that count as 0 and as 1."""

    low: float
    high: float

    def rescaled(self, cosines: torch.Tensor) -> torch.Tensor:
        """The same shape; below 0 and above 1 where a picture is beyond an end.

        Ends that do not lie apart tell nothing, and give 0: a base that draws the concept already leaves nothing to
        learn.
        """
        span = self.high - self.low
        return (cosines - self.low) / span if span > 1e-6 else torch.zeros_like(cosines)


def identity_ends(base: torch.Tensor, instance: torch.Tensor) -> Ends:
    """From the untrained base's pictures (prompts, pictures, width) to the concept's own images (images, width).

    The high end is the mean cosine of each image to the others: what a picture that repeats one of them comes to.
    """
    others = instance @ instance.T
    count = len(instance)
    high = (others.sum() - others.diagonal().sum()) / (count * (count - 1)) if count > 1 else others.mean()
    return Ends(low=float(likeness_beyond_nearest(base, instance).mean()), high=float(high))


def text_ends(base: torch.Tensor, text: torch.Tensor) -> Ends:
    """From shuffled prompts to the untrained base, which follows them as well as it can.

    Of the base's pictures (prompts, pictures, width): the low end is their mean cosine to the other prompts' texts
    (prompts, width), the high end that to their own.
    """
    cosines = base @ text.T  # (prompts, pictures, prompts)
    own = prompt_likeness(base, text)
    count = len(text)
    low = (cosines.sum() - own.sum()) / (own.numel() * (count - 1)) if count > 1 else torch.zeros(())
    return Ends(low=float(low), high=float(own.mean()))

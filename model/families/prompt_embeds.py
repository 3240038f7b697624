"""What a denoiser reads of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class PromptEmbeds:
    """What a denoiser reads of some prompts."""

    states: torch.Tensor
    """(prompts, tokens, width): the states of all text models, side by side."""
    pooled: torch.Tensor | None = None
    """(prompts, pooled width): one state for the whole prompt, of a base that reads it."""
    lengths: torch.Tensor | None = None
    """(prompts): how many tokens of each are read, of a base that reads no more than there are."""

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> PromptEmbeds:
        """`change` made to everything; the first dimension is that of the prompts."""
        return PromptEmbeds(
            change(self.states),
            None if self.pooled is None else change(self.pooled),
            None if self.lengths is None else change(self.lengths),
        )

    def expanded(self, count: int) -> PromptEmbeds:
        """One prompt as often as there are pictures."""
        return self.each(lambda part: part.expand(count, *part.shape[1:]))

    @classmethod
    def joined(cls, parts: Sequence[PromptEmbeds]) -> PromptEmbeds:
        """The prompts of all parts, one part behind the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        lengths = [part.lengths for part in parts if part.lengths is not None]
        longest = max(part.states.shape[1] for part in parts)
        states = [F.pad(part.states, (0, 0, 0, longest - part.states.shape[1])) for part in parts]
        return cls(torch.cat(states), torch.cat(pooled) if pooled else None, torch.cat(lengths) if lengths else None)

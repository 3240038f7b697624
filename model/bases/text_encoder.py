"""One of a base's text encoders, with the tokenizer that it reads by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from model.bases.families import TextPart

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """Frozen, as all of a base is."""

    part: TextPart
    tokenizer: CLIPTokenizer
    model: CLIPTextModel | CLIPTextModelWithProjection

    @property
    def embeddings(self) -> torch.Tensor:
        """The words that it knows, (entries, width)."""
        return self.model.get_input_embeddings().weight

    @property
    def layer_names(self) -> list[str]:
        """Names of its parameters, without the words."""
        words = self.embeddings
        return [name for name, parameter in self.model.named_parameters() if parameter is not words]

    @property
    def width(self) -> int:
        """Of its states, and of the embedding that [V] has in it."""
        return int(self.model.config.hidden_size)

    @property
    def pools(self) -> bool:
        """Whether the UNet reads one state for the whole prompt of it, beside those of the tokens."""
        return isinstance(self.model, CLIPTextModelWithProjection)

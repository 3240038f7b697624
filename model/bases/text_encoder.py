"""One of a base's text models, with the tokenizer that it reads by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import TextPart
from model.families.reader import PromptReader

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """Frozen, as all of a base is."""

    part: TextPart
    reader: PromptReader
    model: Any
    """Of transformers."""

    @property
    def tokenizer(self) -> Any:
        """Of transformers."""
        return self.reader.tokenizer

    @property
    def embeddings(self) -> torch.Tensor:
        """The words that it knows, (entries, width)."""
        words: torch.Tensor = self.model.get_input_embeddings().weight
        return words

    @property
    def layer_names(self) -> list[str]:
        """Names of its parameters, without the words."""
        words = self.embeddings
        return [name for name, parameter in self.model.named_parameters() if parameter is not words]

    @property
    def width(self) -> int:
        """Of its states, and of the embedding that [V] has in it."""
        return int(self.model.config.hidden_size)

"""One of a base's text encoders, with the tokenizer that it reads by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.masking_utils import create_causal_mask

from model.bases.families import TextPart

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

# What configurations called the end token before transformers#24773; Stable Diffusion XL's still do.
_UNTRUE_END_TOKEN = 2


@dataclass(frozen=True)
class ReadText:
    """What a text encoder makes of some prompts."""

    last: torch.Tensor
    """(prompts, tokens, width): the states behind its last layer, normed."""
    penultimate: torch.Tensor
    """Same shape: those before its last layer, as they are."""
    pooled: torch.Tensor | None
    """(prompts, pooled width), of a text encoder that pools."""


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

    def read(self, ids: torch.Tensor, rows: torch.Tensor) -> ReadText:
        """What it makes of the embeddings `rows` (prompts, tokens, width); `ids` (prompts, tokens) say where each ends.

        The forward pass of transformers' CLIPTextModel (5.23), which itself takes no embeddings: to put [V] in there,
        the model would have to be changed for the time of a call, and what other threads read in that time with it.
        """
        text = self.model.text_model if isinstance(self.model, CLIPTextModelWithProjection) else self.model
        states = [text.embeddings(inputs_embeds=rows)]
        mask = create_causal_mask(
            config=text.config, inputs_embeds=states[0], attention_mask=None, past_key_values=None
        )
        for layer in text.encoder.layers:
            states.append(layer(states[-1], mask, is_causal=True))
        last = text.final_layer_norm(states[-1])
        pooled = None
        if isinstance(self.model, CLIPTextModelWithProjection):
            end = text.eos_token_id
            places = ids.argmax(-1) if end == _UNTRUE_END_TOKEN else (ids == end).int().argmax(-1)
            pooled = self.model.text_projection(last[torch.arange(len(ids), device=ids.device), places])
        return ReadText(last, states[-2], pooled)

"""CLIP text encoders, by which Stable Diffusion 1.x, 2.x and XL read prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.masking_utils import create_causal_mask

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


def read_clip(model: CLIPTextModel | CLIPTextModelWithProjection, ids: torch.Tensor, rows: torch.Tensor) -> ReadText:
    """What it makes of the embeddings `rows` (prompts, tokens, width); `ids` (prompts, tokens) say where each ends.

    The forward pass of transformers' CLIPTextModel (5.23), which itself takes no embeddings: to put [V] in there, the
    model would have to be changed for the time of a call, and what other threads read in that time with it.
    """
    text = model.text_model if isinstance(model, CLIPTextModelWithProjection) else model
    states = [text.embeddings(inputs_embeds=rows)]
    mask = create_causal_mask(config=text.config, inputs_embeds=states[0], attention_mask=None, past_key_values=None)
    for layer in text.encoder.layers:
        states.append(layer(states[-1], mask, is_causal=True))
    last = text.final_layer_norm(states[-1])
    pooled = None
    if isinstance(model, CLIPTextModelWithProjection):
        end = text.eos_token_id
        places = ids.argmax(-1) if end == _UNTRUE_END_TOKEN else (ids == end).int().argmax(-1)
        pooled = model.text_projection(last[torch.arange(len(ids), device=ids.device), places])
    return ReadText(last, states[-2], pooled)


@torch.no_grad()
def add_word(tokenizer: Any, model: Any, token: str, row: torch.Tensor) -> None:
    """Make [V] a word of a tokenizer and its text encoder, with the learned embedding (width)."""
    tokenizer.add_tokens([token])
    place = tokenizer.convert_tokens_to_ids(token)
    rows = model.resize_token_embeddings(place + 1, mean_resizing=False).weight
    rows[place] = row.to(rows)
    if isinstance(model, CLIPTextModelWithProjection):
        _find_end_by_id(tokenizer, model)


def _find_end_by_id(tokenizer: Any, model: CLIPTextModelWithProjection) -> None:
    """Have a text encoder take its pooled state where the end token is.

    By old configurations, Stable Diffusion XL's among them, it takes that of the largest id, which is the end token's
    until a word is added behind it.
    """
    end = tokenizer.eos_token_id
    for module in model.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = end
    model.config.eos_token_id = end

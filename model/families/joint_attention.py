"""The scores of a transformer in which picture and text attend to each other, as they come by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

SEQUENCE_STEP = 32
"""Z-Image fills up the tokens of pictures, and those of prompts, to multiples of it."""


@contextmanager
def watched(transformer: Any, patch: int, own: range, see: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Inside, `see` is given the scores of each main layer of Z-Image, (batch, heads, pixels, tokens).

    Of picture queries and of the keys of the prompt's own tokens (`own`, places in the text), after norms and turns:
    the softmax's joint normaliser cancels in shares of the prompt, so nothing else is needed. The template around the
    prompt has a score of minus infinity, and padding none: a softmax over the tokens is one over the prompt's own.

    By hooks, which run again where gradient checkpointing computes a layer again.
    """
    seen: dict[str, Any] = {}

    def look(_module: Any, inputs: tuple[Any, ...]) -> None:
        height, width = inputs[0][0].shape[-2:]
        seen["pixels"] = (height // patch) * (width // patch)

    hooks = [transformer.register_forward_pre_hook(look)]
    try:
        for block in transformer.layers:
            hooks += _watch(block.attention, seen, own, see)
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(attention: Any, seen: dict[str, Any], own: range, see: Callable[[torch.Tensor], None]) -> list[Any]:
    """Query and key are taken where the layer has normed them; the turn by their places it makes is made here too."""
    states: dict[str, torch.Tensor] = {}

    def before(_module: Any, _inputs: Any, options: dict[str, Any]) -> None:
        states["turns"] = options["freqs_cis"]  # (batch, tokens, depth / 2), complex

    def keep(name: str) -> Callable[[Any, Any, torch.Tensor], None]:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            states[name] = output  # (batch, tokens, heads, depth), or both last in one

        return hook

    def after(_module: Any, _inputs: Any, _output: Any) -> None:
        query, key, turns = (states.pop(name) for name in ("query", "key", "turns"))
        query, key = (part if part.ndim == 4 else part.unflatten(-1, (attention.heads, -1)) for part in (query, key))
        first = math.ceil(seen["pixels"] / SEQUENCE_STEP) * SEQUENCE_STEP  # the text stands behind the whole picture
        pixels, words = slice(seen["pixels"]), slice(first + own.start, first + own.stop)
        # Under bfloat16 autocast the scores would carry errors of a percent and more into the probabilities.
        with torch.autocast(query.device.type, enabled=False):
            looking, looked_at = _turned(query[:, pixels], turns[:, pixels]), _turned(key[:, words], turns[:, words])
            scores = (looking * query.shape[-1] ** -0.5) @ looked_at.transpose(-1, -2)
            see(F.pad(scores, (own.start, 0), value=-math.inf))

    normed = attention.norm_q or attention.to_q, attention.norm_k or attention.to_k
    return [
        attention.register_forward_pre_hook(before, with_kwargs=True),
        normed[0].register_forward_hook(keep("query")),
        normed[1].register_forward_hook(keep("key")),
        attention.register_forward_hook(after),
    ]


def _turned(states: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """States (batch, tokens, heads, depth) turned by their places, as (batch, heads, tokens, depth), in float32."""
    pairs = torch.view_as_complex(states.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns[:, :, None]).flatten(3).transpose(1, 2)

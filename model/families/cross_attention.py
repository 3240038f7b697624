"""The scores of a UNet's cross-attention, as they come by."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention


@contextmanager
def watched(unet: Any, see: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Inside, `see` is given the scores of each cross-attention layer (`attn2`), (batch, heads, pixels, tokens)."""
    layers = [module for name, module in unet.named_modules() if name.endswith(".attn2")]
    before = [layer.processor for layer in layers]
    processor = WatchedCrossAttention(see)
    try:
        for layer in layers:
            layer.set_processor(processor)
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.set_processor(own)


class WatchedCrossAttention:
    """A cross-attention processor whose output is that of diffusers' AttnProcessor2_0, and whose scores are seen."""

    def __init__(self, see: Callable[[torch.Tensor], None]) -> None:
        self._see = see

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,  # (batch, pixels, channels)
        encoder_hidden_states: torch.Tensor,  # (batch, tokens, width)
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert attention_mask is None, "Stable Diffusion attends to all tokens"

        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (batch, heads, pixels or tokens, depth)

        query = heads(attn.to_q(hidden_states))
        key = heads(attn.to_k(encoder_hidden_states))
        value = heads(attn.to_v(encoder_hidden_states))
        # Under bfloat16 autocast the scores would carry errors of a percent and more into the probabilities.
        precise = torch.promote_types(query.dtype, torch.float32)
        with torch.autocast(query.device.type, enabled=False):
            self._see((query.to(precise) * attn.scale) @ key.to(precise).transpose(-1, -2))
        output = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        output = output.transpose(1, 2).flatten(2)  # (batch, pixels, channels)
        for layer in attn.to_out:
            output = layer(output)
        return output

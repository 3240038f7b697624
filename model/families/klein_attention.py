"""Where picture and prompt meet in FLUX.2 klein, and where its tokens stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from model.families.joint_attention import Meeting, turned, watched


def places(rows: int, columns: int, length: int, where: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (tokens, 4) of a picture's tokens and of a prompt's: (time, row, column, number)."""
    zero = torch.zeros(1, dtype=torch.long, device=where)
    down, right, along = (torch.arange(count, device=where) for count in (rows, columns, length))
    return torch.cartesian_prod(zero, down, right, zero), torch.cartesian_prod(zero, zero, zero, along)


def klein_watched(transformer: Any, own: range, see: Callable[[torch.Tensor], None]) -> AbstractContextManager[None]:
    """`joint_attention.watched` of all blocks: in each of them picture and prompt meet.

    The prompt stands before the picture. In a double block each has queries and keys of its own, in a single one they
    share the layer.
    """

    def pixels(_inputs: Any, options: Mapping[str, Any]) -> int:
        return int(options["hidden_states"].shape[1])

    def pick(
        query: torch.Tensor, key: torch.Tensor, options: Mapping[str, Any], pixels: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cosines, sines = (part[None, :, ::2] for part in options["image_rotary_emb"])  # each number stands there twice
        turns = torch.complex(cosines, sines)  # (1, tokens, depth / 2)
        words = slice(own.start, own.stop)
        return turned(query[:, -pixels:], turns[:, -pixels:]), turned(key[:, words], turns[:, words])

    double = [block.attn for block in transformer.transformer_blocks]
    single = [block.attn for block in transformer.single_transformer_blocks]
    meetings = [Meeting(attention=layer, query=layer.norm_q, key=layer.norm_added_k) for layer in double]
    meetings += [Meeting(attention=layer, query=layer.norm_q, key=layer.norm_k) for layer in single]
    return watched(transformer, meetings, pixels, pick, own, see)

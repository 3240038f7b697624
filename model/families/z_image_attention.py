"""Where picture and prompt meet in Z-Image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from model.families.joint_attention import Meeting, turned, watched

SEQUENCE_STEP = 32
"""It fills up the tokens of pictures, and those of prompts, to multiples of it."""


def z_image_watched(
    transformer: Any, patch: int, own: range, see: Callable[[torch.Tensor], None]
) -> AbstractContextManager[None]:
    """`joint_attention.watched` of its main layers: in the refiners picture and prompt do not meet."""

    def pixels(inputs: Any, _options: Any) -> int:
        height, width = inputs[0][0].shape[-2:]
        return int(height // patch) * int(width // patch)

    def pick(
        query: torch.Tensor, key: torch.Tensor, options: Mapping[str, Any], pixels: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        turns = options["freqs_cis"]  # (batch, tokens, depth / 2), complex
        first = math.ceil(pixels / SEQUENCE_STEP) * SEQUENCE_STEP  # the text stands behind the whole picture
        words = slice(first + own.start, first + own.stop)
        return turned(query[:, :pixels], turns[:, :pixels]), turned(key[:, words], turns[:, words])

    meetings = [
        Meeting(attention=layer, query=layer.norm_q or layer.to_q, key=layer.norm_k or layer.to_k)
        for layer in (block.attention for block in transformer.layers)
    ]
    return watched(transformer, meetings, pixels, pick, own, see)

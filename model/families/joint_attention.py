"""The scores of a transformer in which picture and text attend to each other, as they come by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A layer in which picture and text meet."""

    attention: Any
    query: Any
    """The module inside that gives the picture's queries, normed, perhaps with others."""
    key: Any
    """The module inside that gives the text's keys likewise."""


Pick = Callable[[torch.Tensor, torch.Tensor, Mapping[str, Any], int], tuple[torch.Tensor, torch.Tensor]]
"""Of queries and keys (batch, tokens, heads, depth) those of the picture and of the prompt's own tokens.

They are turned by their places, (batch, heads, tokens, depth) in float32 (see `turned`). It is also given what the
layer was called with, by name, and how many tokens the picture has.
"""


@contextmanager
def watched(
    transformer: Any,
    meetings: Sequence[Meeting],
    pixels: Callable[[Sequence[Any], Mapping[str, Any]], int],
    pick: Pick,
    own: range,
    see: Callable[[torch.Tensor], None],
) -> Iterator[None]:
    """Inside, `see` is given the scores of each of `meetings`, (batch, heads, pixels, tokens).

    Of picture queries and of the keys of the prompt's own tokens (`own`, places in the text), after norms and turns:
    the softmax's joint normaliser cancels in shares of the prompt, so nothing else is needed. The template around the
    prompt has a score of minus infinity, and padding none: a softmax over the tokens is one over the prompt's own.

    `pixels` tells from what the transformer is called with how many tokens the picture has. All by hooks, which run
    again where gradient checkpointing computes a layer again.
    """
    seen: dict[str, int] = {}

    def look(_module: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        seen["pixels"] = pixels(inputs, options)

    hooks = [transformer.register_forward_pre_hook(look, with_kwargs=True)]
    try:
        for meeting in meetings:
            hooks += _watch(meeting, seen, pick, own, see)
        yield
    finally:
        for hook in hooks:
            hook.remove()


def turned(states: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """States (batch, tokens, heads, depth) turned by their places, as (batch, heads, tokens, depth), in float32.

    `turns` (batch or 1, tokens, depth / 2) are complex.
    """
    pairs = torch.view_as_complex(states.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns[:, :, None]).flatten(3).transpose(1, 2)


def _watch(
    meeting: Meeting, seen: Mapping[str, int], pick: Pick, own: range, see: Callable[[torch.Tensor], None]
) -> list[Any]:
    """Query and key are taken where the layer has normed them; the turn by their places it makes is made here too."""
    states: dict[str, Any] = {}

    def before(_module: Any, _inputs: Any, options: dict[str, Any]) -> None:
        states["options"] = options

    def keep(name: str) -> Callable[[Any, Any, torch.Tensor], None]:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            states[name] = output  # (batch, tokens, heads, depth), or both last in one

        return hook

    def after(_module: Any, _inputs: Any, _output: Any) -> None:
        query, key = (
            part if part.ndim == 4 else part.unflatten(-1, (meeting.attention.heads, -1))
            for part in (states.pop("query"), states.pop("key"))
        )
        # Under bfloat16 autocast the scores would carry errors of a percent and more into the probabilities.
        with torch.autocast(query.device.type, enabled=False):
            looking, looked_at = pick(query, key, states.pop("options"), seen["pixels"])
            scores = (looking * query.shape[-1] ** -0.5) @ looked_at.transpose(-1, -2)
            see(F.pad(scores, (own.start, 0), value=-math.inf))

    return [
        meeting.attention.register_forward_pre_hook(before, with_kwargs=True),
        meeting.query.register_forward_hook(keep("query")),
        meeting.key.register_forward_hook(keep("key")),
        meeting.attention.register_forward_hook(after),
    ]

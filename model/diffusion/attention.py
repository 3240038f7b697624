"""The attention-map term of AttnDreamBooth, from the two columns of cross-attention that it needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from model.bases.tokens import TokenizedPrompt

# The published weights go with a sum over a batch of 8; a mean times 8 means the same at every batch size.
_PUBLISHED_BATCH_SIZE = 8


def attention_term(columns: Sequence[torch.Tensor], *, mean_weight: float, variance_weight: float) -> torch.Tensor:
    """How unlike the attention of [V] and of its super-category are: a scalar, 0 when their statistics agree.

    `columns`: for each cross-attention layer (batch, heads, pixels, 2), the attention probabilities of [V] and of the
    super-category. Mean and unbiased variance run over heads and pixels, as in the code of arXiv 2406.05000:
    8 * mean over layers and samples of (mean_weight * (mean_V - mean_c)^2 + variance_weight * (var_V - var_c)^2).
    """
    layers = []
    for layer in columns:
        variance, mean = torch.var_mean(layer.flatten(1, 2), dim=1)  # both (batch, 2)
        difference = mean_weight * mean.diff(dim=1).square() + variance_weight * variance.diff(dim=1).square()
        layers.append(difference.mean())
    return _PUBLISHED_BATCH_SIZE * torch.stack(layers).mean()


@dataclass
class AttentionColumns:
    """The columns that the UNet's cross-attention layers have left since the last `take`, in the layers' order."""

    layers: list[torch.Tensor] = field(default_factory=list)
    is_open: bool = True

    def add(self, layer: torch.Tensor) -> None:
        """What one layer has computed."""
        if self.is_open:
            self.layers.append(layer)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Inside, nothing is added: what a backward pass computes again has been taken before."""
        self.is_open = False
        try:
            yield
        finally:
            self.is_open = True

    def take(self) -> list[torch.Tensor]:
        """For each layer (batch, heads, pixels, words), [V] first; the list is empty afterwards."""
        taken, self.layers = self.layers, []
        return taken


@contextmanager
def recorded_columns(
    unet: UNet2DConditionModel, prompt: TokenizedPrompt, word: Sequence[int] = ()
) -> Iterator[AttentionColumns]:
    """Inside, every forward pass of the UNet leaves the attention columns of [V] and of its super-category, if named.

    `word` are the places, side by side, of another word whose column stands behind those two. Only cross-attention
    (`attn2`) is touched, and it has its own processors back afterwards, also after an error.
    Raises ValueError if the prompt does not hold [V] once, and its super-category nowhere but right behind it.
    """
    places = [*prompt.placeholder, *prompt.super_category]
    if len(prompt.placeholder) != 1 or places != list(range(places[0], places[0] + len(places))):
        raise ValueError("the prompt does not hold [V] once, and its super-category nowhere but right behind it")
    columns = AttentionColumns()
    words = [each for each in (prompt.placeholder, prompt.super_category, word) if each]
    with _processed_by(unet, _ColumnRecorder(columns, [slice(each[0], each[-1] + 1) for each in words])):
        yield columns


@contextmanager
def recorded_maps(unet: UNet2DConditionModel) -> Iterator[AttentionColumns]:
    """Inside, every forward pass of the UNet leaves the attention of all tokens: (batch, pixels, tokens) a layer.

    Mean over heads. Only cross-attention (`attn2`) is touched, and it has its processors back afterwards.
    """
    maps = AttentionColumns()
    with _processed_by(unet, _MapRecorder(maps, ())):
        yield maps


@contextmanager
def _processed_by(unet: UNet2DConditionModel, processor: "_ColumnRecorder") -> Iterator[None]:
    """Inside, cross-attention works by `processor`."""
    layers = [module for name, module in unet.named_modules() if name.endswith(".attn2")]
    before = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.set_processor(processor)
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.set_processor(own)


class _ColumnRecorder:
    """A cross-attention processor whose output is that of diffusers' AttnProcessor2_0, and which keeps few columns."""

    def __init__(self, columns: AttentionColumns, words: Sequence[slice]) -> None:
        """`words` to watch, by the places of their tokens: [V], then its super-category."""
        self._columns = columns
        self._words = words  # slices, not lists: those would be copied to the device in every layer of every step

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
            scores = (query.to(precise) * attn.scale) @ key.to(precise).transpose(-1, -2)
            self._columns.add(self._kept(scores))
        output = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        output = output.transpose(1, 2).flatten(2)  # (batch, pixels, channels)
        for layer in attn.to_out:
            output = layer(output)
        return output

    def _kept(self, scores: torch.Tensor) -> torch.Tensor:
        """Of scores (batch, heads, pixels, tokens) the probabilities (batch, heads, pixels, words).

        For each word the mean over its tokens.
        """
        total = scores.logsumexp(dim=-1, keepdim=True)
        # exp(score - logsumexp) is the softmax, written for the few columns that are wanted.
        return torch.stack([torch.exp(scores[..., word] - total).mean(dim=-1) for word in self._words], dim=-1)


class _MapRecorder(_ColumnRecorder):
    """The same, and what is kept are the probabilities of all tokens, (batch, pixels, tokens)."""

    def _kept(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(dim=-1).mean(dim=1)

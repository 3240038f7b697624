"""The attention-map term of AttnDreamBooth, from the two columns of attention that it needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from model.bases.base import Base
from model.families.tokenized import TokenizedPrompt

# The published weights go with a sum over a batch of 8; a mean times 8 means the same at every batch size.
_PUBLISHED_BATCH_SIZE = 8


def attention_term(columns: Sequence[torch.Tensor], *, mean_weight: float, variance_weight: float) -> torch.Tensor:
    """How unlike the attention of [V] and of its super-category are: a scalar, 0 when their statistics agree.

    `columns`: for each layer in which picture and text meet (batch, heads, pixels, 2), the attention of [V] and of the
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
    """The columns that the layers in which picture and text meet have left since the last `take`, in their order."""

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
def recorded_columns(base: Base, prompt: TokenizedPrompt, word: Sequence[int] = ()) -> Iterator[AttentionColumns]:
    """Inside, every forward pass of the denoiser leaves the attention columns of [V] and its super-category, if named.

    `word` are the places, side by side, of another word whose column stands behind those two. What the family watches
    is as before afterwards, also after an error.
    Raises ValueError if the prompt does not hold [V] once, and its super-category nowhere but right behind it.
    """
    places = [*prompt.placeholder, *prompt.super_category]
    if len(prompt.placeholder) != 1 or places != list(range(places[0], places[0] + len(places))):
        raise ValueError("the prompt does not hold [V] once, and its super-category nowhere but right behind it")
    columns = AttentionColumns()

    def see(scores: torch.Tensor) -> None:
        columns.add(base.family.comparable(word_columns(scores, words), prompt))

    # slices, not lists: those would be copied to the device in every layer of every step
    words = [slice(each[0], each[-1] + 1) for each in (prompt.placeholder, prompt.super_category, word) if each]
    with base.family.watching(base.denoiser, prompt, see):
        yield columns


@contextmanager
def recorded_maps(base: Base, prompt: TokenizedPrompt) -> Iterator[AttentionColumns]:
    """Inside, every forward pass of the denoiser leaves the attention of all tokens: (batch, pixels, tokens) a layer.

    Mean over heads; of the tokens of `prompt`.
    """
    maps = AttentionColumns()
    with base.family.watching(base.denoiser, prompt, lambda scores: maps.add(scores.softmax(dim=-1).mean(dim=1))):
        yield maps


def word_columns(scores: torch.Tensor, words: Sequence[slice]) -> torch.Tensor:
    """Of scores (batch, heads, pixels, tokens) the probabilities (batch, heads, pixels, words).

    For each word the mean over its tokens.
    """
    total = scores.logsumexp(dim=-1, keepdim=True)
    # exp(score - logsumexp) is the softmax, written for the few columns that are wanted.
    return torch.stack([torch.exp(scores[..., word] - total).mean(dim=-1) for word in words], dim=-1)

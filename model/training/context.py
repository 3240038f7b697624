"""Terms that keep [V] a word among words: what stands beside it is read as beside its super-category.

Both are off by default. CoRe (Context-Regularized Text Embedding Learning, arXiv 2408.15914) compares prompts with [V]
to the same prompts with the super-category in its place, word by word, without any pictures of them. ClassDiffusion
(arXiv 2405.17532) compares the instance prompt as a whole to the class prompt. What they are compared to is read once,
before the first step, and stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.bases.base import Base
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import category_embeddings, encode_text
from model.errors import InputError
from model.families.prompt_embeds import PromptEmbeds
from model.families.tokenized import TokenizedPrompt

CONTEXTS = (
    "a {} in the rain",
    "a {} on a table",
    "a {} in a garden",
    "a {} next to a tree",
    "a {} under the sun",
    "a small {}",
    "a wooden {}",
    "a white {} on the floor",
    "a drawing of a {}",
    "a close view of a {}",
)
"""Prompts whose other words are held in place; none of them is of an evaluation's."""


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """What prompts are compared to."""

    contexts: Sequence[TokenizedPrompt]
    """Prompts with [V]: the instance prompt, and those of CONTEXTS that are short enough for the base."""
    read: PromptEmbeds
    """What is read of them with the super-category's embedding in the place of [V], (contexts, tokens, width)."""
    class_end: torch.Tensor
    """(width): the class prompt's state at its end token."""


@torch.no_grad()
def find_anchors(base: Base, prompt: ConceptPrompt) -> Anchors:
    """What the base reads now; a super-category of several tokens is the mean of their embeddings."""
    contexts = [tokenize(base.tokenizers, prompt.text, prompt)]
    for context in CONTEXTS:
        try:
            contexts.append(tokenize(base.tokenizers, prompt.fill(context), prompt))
        except InputError:  # too long for a base of few tokens, which has the others
            continue
    read = encode_text(base, contexts, category_embeddings(base, prompt))
    of_class = tokenize(base.tokenizers, prompt.class_text)
    return Anchors(contexts=contexts, read=read, class_end=end_state(encode_text(base, [of_class]), of_class))


def other_words(prompt: TokenizedPrompt) -> list[int]:
    """Places of a prompt's words other than [V]: nothing of what stands around them, nor padding."""
    return [place for place in prompt.words if place not in prompt.placeholder]


def end_state(text: PromptEmbeds, prompt: TokenizedPrompt) -> torch.Tensor:
    """State (width) of the token that ends the first prompt of `text`: what CLIP takes for all of its meaning."""
    return text.states[0, prompt.words.stop]


def semantic_distance(state: torch.Tensor, class_state: torch.Tensor) -> torch.Tensor:
    """1 - cosine of two states (width): ClassDiffusion's semantic preservation loss, as its code computes it."""
    return 1 - F.cosine_similarity(state.float(), class_state.float(), dim=0)


def context_embedding_distance(
    states: torch.Tensor, category_states: torch.Tensor, words: Sequence[int]
) -> torch.Tensor:
    """Mean over the other words of 1 - cosine of their states with [V] and with its super-category.

    Both are (1, tokens, width), `words` the places of the other words. CoRe's context embedding regularisation.
    """
    return (1 - F.cosine_similarity(states.float(), category_states.float(), dim=-1))[:, list(words)].mean()


def context_attention_distance(
    maps: Sequence[torch.Tensor], category_maps: Sequence[torch.Tensor], words: Sequence[int]
) -> torch.Tensor:
    """How differently attention sees the other words beside [V] and beside its super-category; a scalar.

    Both hold for each layer (batch, pixels, tokens), mean over heads. As printed, a word is one number: its attention's
    mean over pixels, and over all layers. The squared difference of these is meant over samples and words.
    """
    ours, theirs = (
        torch.stack([layer[..., list(words)].mean(dim=1) for layer in layers]).mean(dim=0)  # (batch, words)
        for layers in (maps, category_maps)
    )
    return (ours - theirs).square().mean()

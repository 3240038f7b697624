"""What the UNet reads of prompts: the frozen text encoders read them, with learned embeddings in the places of [V]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from model.bases.base import Base
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import TokenizedPrompt, rare_token_ids, super_category_ids, tokenize
from model.methods.method import Stage


@dataclass(frozen=True)
class PromptEmbeds:
    """What the UNet reads of some prompts."""

    states: torch.Tensor
    """(prompts, tokens, width): the states of all text encoders, side by side."""
    pooled: torch.Tensor | None = None
    """(prompts, pooled width): one state for the whole prompt, of a base whose UNet reads it."""

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> PromptEmbeds:
        """`change` made to everything; the first dimension is that of the prompts."""
        return PromptEmbeds(change(self.states), None if self.pooled is None else change(self.pooled))

    def expanded(self, count: int) -> PromptEmbeds:
        """One prompt as often as there are pictures."""
        return self.each(lambda part: part.expand(count, *part.shape[1:]))

    @classmethod
    def joined(cls, parts: Sequence[PromptEmbeds]) -> PromptEmbeds:
        """The prompts of all parts, one part behind the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return cls(torch.cat([part.states for part in parts]), torch.cat(pooled) if pooled else None)


def encode_text(
    base: Base, prompts: Sequence[TokenizedPrompt], embeddings: Sequence[torch.Tensor] = ()
) -> PromptEmbeds:
    """What the text encoders make of prompts.

    `embeddings`, one (1, width) for each text encoder, take the places of [V]; gradients flow back to them and to
    nothing else. Nothing of the base is changed meanwhile, not for a moment: one base serves any number of concepts,
    and any number of threads.
    """
    is_placeholder = torch.zeros(len(prompts), len(prompts[0].ids[0]), dtype=torch.bool, device=base.device)
    for row, prompt in enumerate(prompts):
        is_placeholder[row, list(prompt.placeholder)] = True  # (prompts, tokens)
    if any(prompt.placeholder for prompt in prompts) and len(embeddings) != len(base.text_encoders):
        raise ValueError("a prompt holds [V], and no embedding of it for each text encoder was given")
    states, pooled = [], None
    for number, encoder in enumerate(base.text_encoders):
        ids = torch.tensor([prompt.ids[number] for prompt in prompts], device=base.device)  # (prompts, tokens)
        rows = encoder.model.get_input_embeddings()(ids)  # (prompts, tokens, width)
        if embeddings:
            learned = embeddings[number].to(device=base.device, dtype=rows.dtype)
            rows = torch.where(is_placeholder[..., None], learned, rows)
        read = encoder.read(ids, rows)
        states.append(read.penultimate if base.family.penultimate else read.last)
        pooled = pooled if read.pooled is None else read.pooled
    return PromptEmbeds(torch.cat(states, dim=-1), pooled)


def encode_nothing(base: Base) -> PromptEmbeds:
    """The one empty prompt, which guidance leads away from; zeros where the base learnt to read those in its place."""
    nothing = encode_text(base, [tokenize(base.tokenizers, "")])
    return nothing.each(torch.zeros_like) if base.zeros_for_nothing else nothing


def initial_embeddings(base: Base, stage: Stage, prompt: ConceptPrompt) -> list[torch.Tensor]:
    """The embeddings (1, width) from which [V] starts in each text encoder.

    A rare token's, or the mean over the super-category's tokens. Raises InputError for words that the base does not
    have.
    """
    if stage.starts_from == "rare_token":
        words = [[word] for word in rare_token_ids(base.tokenizers, stage.rare_token, prompt)]
        return _mean_embeddings(base, words)
    return category_embeddings(base, prompt)


def category_embeddings(base: Base, prompt: ConceptPrompt) -> list[torch.Tensor]:
    """The mean over the super-category's tokens in each text encoder, (1, width)."""
    return _mean_embeddings(base, super_category_ids(base.tokenizers, prompt.super_category))


def _mean_embeddings(base: Base, words: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    return [
        encoder.embeddings[torch.tensor(ids, device=base.device)].detach().mean(dim=0, keepdim=True).clone()
        for encoder, ids in zip(base.text_encoders, words, strict=True)
    ]

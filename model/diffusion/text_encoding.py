"""What a denoiser reads of prompts: the frozen text encoders read them, with learned embeddings in [V]'s places."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.bases.base import Base
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import rare_token_ids, super_category_ids, tokenize
from model.families.prompt_embeds import PromptEmbeds
from model.families.tokenized import TokenizedPrompt
from model.methods.method import Stage


def encode_text(
    base: Base, prompts: Sequence[TokenizedPrompt], embeddings: Sequence[torch.Tensor] = ()
) -> PromptEmbeds:
    """What the text encoders make of prompts.

    `embeddings`, one (1, width) for each text encoder, take the places of [V]; gradients flow back to them and to
    nothing else. Nothing of the base is changed meanwhile, not for a moment: one base serves any number of concepts,
    and any number of threads.
    """
    if any(prompt.placeholder for prompt in prompts) and len(embeddings) != len(base.text_encoders):
        raise ValueError("a prompt holds [V], and no embedding of it for each text encoder was given")
    longest = max(len(prompt.ids[0]) for prompt in prompts)
    is_placeholder = torch.zeros(len(prompts), longest, dtype=torch.bool, device=base.device)
    for row, prompt in enumerate(prompts):
        is_placeholder[row, list(prompt.placeholder)] = True  # (prompts, tokens)
    ids, rows = [], []
    for number, encoder in enumerate(base.text_encoders):
        filled = [[*prompt.ids[number], *[0] * (longest - len(prompt.ids[number]))] for prompt in prompts]
        ids.append(torch.tensor(filled, device=base.device))  # (prompts, tokens)
        words = encoder.model.get_input_embeddings()(ids[-1])  # (prompts, tokens, width)
        if embeddings:
            learned = embeddings[number].to(device=base.device, dtype=words.dtype)
            words = torch.where(is_placeholder[..., None], learned, words)
        rows.append(words)
    lengths = [prompt.words.stop + len(base.tokenizers[0].after) for prompt in prompts]
    return base.family.read([encoder.model for encoder in base.text_encoders], ids, rows, lengths)


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

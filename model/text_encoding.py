"""Text states for the UNet: the frozen text encoder reads a prompt in which [V] has a learned embedding."""

from collections.abc import Sequence

import torch

from model.base import Base
from model.method import Stage
from model.prompt import ConceptPrompt
from model.tokens import TokenizedPrompt, rare_token_id, super_category_ids


def encode_text(
    base: Base, prompts: Sequence[TokenizedPrompt], placeholder_embedding: torch.Tensor | None = None
) -> torch.Tensor:
    """Text states (prompts, tokens, width), the last hidden states as Stable Diffusion 1.x and 2.x read them.

    `placeholder_embedding` (1, width) takes the places of [V]; gradients flow back to it and to nothing else. The
    base's own embedding matrix is neither enlarged nor changed, so one base serves any number of concepts.
    """
    ids = torch.tensor([prompt.ids for prompt in prompts], device=base.device)  # (prompts, tokens)
    is_placeholder = torch.zeros_like(ids, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        is_placeholder[row, list(prompt.placeholder)] = True
    if not is_placeholder.any():
        return base.text_encoder(ids).last_hidden_state
    if placeholder_embedding is None:
        raise ValueError("a prompt holds [V], and no embedding for it was given")
    learned = placeholder_embedding.to(base.device)

    def put_in(_module: object, _inputs: object, rows: torch.Tensor) -> torch.Tensor:
        return torch.where(is_placeholder[..., None], learned.to(rows.dtype), rows)  # (prompts, tokens, width)

    # transformers' CLIPTextModel takes no embeddings as input, hence the hook.
    hook = base.text_encoder.get_input_embeddings().register_forward_hook(put_in)
    try:
        return base.text_encoder(ids).last_hidden_state
    finally:
        hook.remove()


def initial_embedding(base: Base, stage: Stage, prompt: ConceptPrompt) -> torch.Tensor:
    """The embedding (1, width) from which [V] starts: a rare token's, or the mean over the super-category's tokens.

    Raises InputError for words that the base does not have.
    """
    if stage.starts_from == "rare_token":
        words = [rare_token_id(base.tokenizer, stage.rare_token, prompt)]
    else:
        words = super_category_ids(base.tokenizer, prompt.super_category)
    ids = torch.tensor(words, device=base.device)
    rows = base.text_encoder.get_input_embeddings().weight[ids]  # (tokens, width)
    return rows.detach().mean(dim=0, keepdim=True).clone()

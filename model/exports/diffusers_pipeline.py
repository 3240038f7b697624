"""A concept as a pipeline of diffusers that needs nothing of ours."""

from typing import TYPE_CHECKING, Any

import torch

from model.bases.base import Base
from model.bases.families import Family
from model.bases.noise_schedule import solver
from model.bases.text_encoder import TextEncoder
from model.runtime.quiet import quiet_libraries
from model.weights.concept import ConceptWeights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def concept_pipeline(base: Base, weights: ConceptWeights) -> "DiffusionPipeline":
    """The pipeline that draws as `model.drawing.sample.generate` does; `base` is changed for good and belongs to it.

    Raises InputError if the weights do not fit the base.
    """
    weights.put_into(base)
    add_word(base, weights)
    parts: dict[str, Any] = {}
    for encoder in base.text_encoders:
        parts |= {encoder.part.folder: encoder.model, encoder.part.tokenizer: encoder.tokenizer}
    if base.family.zero_option:
        parts[base.family.zero_option] = base.zeros_for_nothing
    with quiet_libraries():
        return pipeline_class(base.family)(
            vae=base.vae,
            unet=base.unet,
            scheduler=solver(base.noise_scheduler),
            **parts,
            **base.family.pipeline_options,
        )


def pipeline_class(family: Family) -> Any:
    """The family's pipeline in diffusers."""
    with quiet_libraries():  # it advises on other image libraries when it is first imported
        import diffusers

        return getattr(diffusers, family.pipeline)


@torch.no_grad()
def add_word(base: Base, weights: ConceptWeights) -> None:
    """Make [V] a word of the base's own tokenizers and text encoders, with the learned embeddings."""
    for encoder, embedding in zip(base.text_encoders, weights.embeddings, strict=True):
        encoder.tokenizer.add_tokens([weights.prompt.placeholder_token])
        place = encoder.tokenizer.convert_tokens_to_ids(weights.prompt.placeholder_token)
        rows = encoder.model.resize_token_embeddings(place + 1, mean_resizing=False).weight
        rows[place] = embedding[0].to(rows)  # (width,)
        if encoder.pools:
            find_end_by_id(encoder)


def find_end_by_id(encoder: TextEncoder) -> None:
    """Have a text encoder take its pooled state where the end token is.

    By old configurations, Stable Diffusion XL's among them, it takes that of the largest id, which is the end token's
    until a word is added behind it.
    """
    end = encoder.tokenizer.eos_token_id
    for module in encoder.model.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = end
    encoder.model.config.eos_token_id = end

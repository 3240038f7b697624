"""A concept as a pipeline of diffusers that needs nothing of ours."""

from typing import TYPE_CHECKING, Any

import torch
from diffusers import DPMSolverMultistepScheduler

from model.base import Base
from model.families import Family
from model.quiet import quiet_libraries
from model.weights import ConceptWeights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def concept_pipeline(base: Base, weights: ConceptWeights) -> "DiffusionPipeline":
    """The pipeline that draws as `model.sample.generate` does; `base` is changed for good and belongs to it.

    Raises InputError if the weights do not fit the base.
    """
    weights.put_into(base)
    add_word(base, weights)
    text: dict[str, Any] = {}
    for encoder in base.text_encoders:
        text |= {encoder.part.folder: encoder.model, encoder.part.tokenizer: encoder.tokenizer}
    with quiet_libraries():
        return pipeline_class(base.family)(
            vae=base.vae,
            unet=base.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(base.noise_scheduler.config),
            **text,
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

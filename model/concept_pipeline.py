"""A concept as a pipeline of diffusers that needs nothing of ours."""

from typing import TYPE_CHECKING

import torch
from diffusers import DPMSolverMultistepScheduler

from model.base import Base
from model.quiet import quiet_libraries
from model.weights import ConceptWeights, put_parameters

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def concept_pipeline(base: Base, weights: ConceptWeights) -> "StableDiffusionPipeline":
    """The pipeline that draws as `model.sample.generate` does; `base` is changed for good and belongs to it.

    Raises InputError if the weights do not fit the base.
    """
    weights.check_fits(base)
    put_parameters(base.unet, weights.unet)
    add_word(base, weights)
    with quiet_libraries():
        from diffusers import (
            StableDiffusionPipeline,
        )  # which advises on other image libraries when it is first imported

        return StableDiffusionPipeline(
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            unet=base.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(base.noise_scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


@torch.no_grad()
def add_word(base: Base, weights: ConceptWeights) -> None:
    """Make [V] a word of the base's own tokenizer and text encoder, with the learned embedding."""
    base.tokenizer.add_tokens([weights.prompt.placeholder_token])
    place = base.tokenizer.convert_tokens_to_ids(weights.prompt.placeholder_token)
    embeddings = base.text_encoder.resize_token_embeddings(place + 1, mean_resizing=False)
    embeddings.weight[place] = weights.embedding[0].to(embeddings.weight)  # (width,)

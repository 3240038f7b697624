"""A concept as a pipeline of diffusers that needs nothing of ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.bases.base import Base
from model.exports.older_libraries import write_for_transformers_4
from model.runtime.quiet import quiet_libraries
from model.weights.concept import ConceptWeights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def concept_pipeline(base: Base, weights: ConceptWeights) -> "DiffusionPipeline":
    """The pipeline that draws as `model.drawing.sample.generate` does; `base` is changed for good and belongs to it.

    Raises InputError if the weights do not fit the base.
    """
    family = base.family
    weights.put_into(base)
    for encoder, embedding in zip(base.text_encoders, weights.embeddings, strict=True):
        family.add_word(encoder.tokenizer, encoder.model, weights.prompt.placeholder_token, embedding[0])
    parts: dict[str, Any] = {family.vae.folder: base.vae, family.denoiser.folder: base.denoiser}
    for encoder in base.text_encoders:
        parts |= {encoder.part.folder: encoder.model, encoder.part.tokenizer: encoder.tokenizer}
    if family.zero_option:
        parts[family.zero_option] = base.zeros_for_nothing
    with quiet_libraries():
        return family.pipeline_class(
            scheduler=family.sampler_of(base.noise_scheduler), **parts, **family.pipeline_options
        )


def write_pipeline(base: Base, weights: ConceptWeights, folder: Path) -> None:
    """Write that pipeline into `folder`, so that transformers 4 reads it as well as 5. Raises as `concept_pipeline`."""
    with quiet_libraries():
        concept_pipeline(base, weights).save_pretrained(folder)
    for part in base.family.text:
        if part.tokenizer_class == "CLIPTokenizer":
            write_for_transformers_4(folder / part.folder, folder / part.tokenizer)

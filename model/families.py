"""The families of base models: what each is made of, without torch. A base is read by its family's entry alone."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A text encoder of a pipeline folder."""

    folder: str
    tokenizer: str
    """Folder of the tokenizer that it reads by."""
    model_class: str
    """Its class in transformers."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What all bases of a family have in common."""

    name: str
    pipeline: str
    """Their class in diffusers."""
    pipeline_options: Mapping[str, object]
    """Arguments of that class beside the models."""
    text: tuple[TextPart, ...]
    """The text encoders whose states the UNet reads, side by side; [V] has an embedding in each."""


STABLE_DIFFUSION = Family(
    name="Stable Diffusion 1.x or 2.x",
    pipeline="StableDiffusionPipeline",
    pipeline_options={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    text=(TextPart(folder="text_encoder", tokenizer="tokenizer", model_class="CLIPTextModel"),),
)

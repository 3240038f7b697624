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
    """Its class in transformers. One with a projection also makes the pooled state that the UNet reads."""
    embedding_key: str
    """How other programs call the embedding of a word in it."""


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
    penultimate: bool = False
    """The UNet reads what the text encoders' last layer is given, not the normalised states that it leaves."""
    addition_embed_type: str | None = None
    """What the UNet reads beside the text states; `text_time`: a pooled state and the sizes of the picture."""
    zero_option: str | None = None
    """What of model_index.json says whether zeros stand for the empty prompt; they do where it says nothing."""

    @property
    def models(self) -> dict[str, str]:
        """Folders with weights, and the beginning of the weights' file name in each."""
        weights = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
        return weights | {part.folder: "model" for part in self.text}


STABLE_DIFFUSION = Family(
    name="Stable Diffusion 1.x or 2.x",
    pipeline="StableDiffusionPipeline",
    pipeline_options={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    text=(
        TextPart(folder="text_encoder", tokenizer="tokenizer", model_class="CLIPTextModel", embedding_key="emb_params"),
    ),
)
STABLE_DIFFUSION_XL = Family(
    name="Stable Diffusion XL",
    pipeline="StableDiffusionXLPipeline",
    pipeline_options={"add_watermarker": False},
    text=(
        TextPart(folder="text_encoder", tokenizer="tokenizer", model_class="CLIPTextModel", embedding_key="clip_l"),
        TextPart(
            folder="text_encoder_2",
            tokenizer="tokenizer_2",
            model_class="CLIPTextModelWithProjection",
            embedding_key="clip_g",
        ),
    ),
    penultimate=True,
    addition_embed_type="text_time",
    zero_option="force_zeros_for_empty_prompt",
)
FAMILIES = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL)

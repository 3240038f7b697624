"""What a description of a family of base models says. Whatever differs between families stands in theirs, and there
alone: loading, training, drawing, exports and checks ask the family of a base, and know none by name.

A description is imported wherever a base is checked, so without torch; its methods import what they need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from model.runtime.quiet import quiet_libraries

if TYPE_CHECKING:
    from torch import Generator, Tensor, device, nn

    from model.families.prompt_embeds import PromptEmbeds
    from model.families.reader import PromptReader
    from model.families.tokenized import TokenizedPrompt

Config = Mapping[str, Any]
Configs = Mapping[str, Config]
"""Of each part, by its folder."""
Promise = tuple[int, int, str]
"""An axis of a tensor, its size, and what of the configuration says so."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model in a folder of a pipeline."""

    folder: str
    model_class: str
    """Its class in diffusers."""
    weights: str = "diffusion_pytorch_model"
    """How the name of its weights' file begins."""


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A text model of a pipeline folder."""

    folder: str
    tokenizer: str
    """Folder of the tokenizer that it reads by."""
    model_class: str
    """Its class in transformers."""
    architectures: tuple[str, ...] = ()
    """What its configuration may call the model that was saved; nothing: `model_class`."""
    tokenizer_class: str = "CLIPTokenizer"
    """In transformers."""
    embedding_key: str
    """How other programs call the embedding of a word in it."""
    original_names: Mapping[str, str] = field(default_factory=dict)
    """Before its weights' names in the original's single file, by the code that they are named after."""
    weights: str = "model"
    """How the name of its weights' file begins."""


class Walk(Protocol):
    """The way from noise to a picture, step by step."""

    timesteps: Tensor

    def start(self, noise: Tensor) -> Tensor:
        """The latents that it begins with."""
        ...

    def seen(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """What the denoiser is given of latents."""
        ...

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The latents behind a step."""
        ...


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """What all bases of a family have in common."""

    name: str
    pipeline: str
    """Their class in diffusers."""
    pipeline_options: Mapping[str, object] = field(default_factory=dict)
    """Arguments of that class beside the models."""
    denoiser: Part
    """What is taught to draw: a UNet, a transformer."""
    vae: Part
    text: tuple[TextPart, ...]
    """The text models whose states the denoiser reads; [V] has an embedding in each."""
    sampler: str
    """Class in diffusers of what draws."""
    zero_option: str | None = None
    """What of model_index.json says whether zeros stand for the empty prompt; they do where it says nothing."""
    preset: str = "published"
    """Of `model.methods.presets`, that whose settings are meant for it."""
    opened_with: str | None = None
    """The only libraries with which exports were opened; None for those of the usual."""
    patch: int = 1
    """Latents that the denoiser reads as one, along one side: pictures have sides of whole ones."""
    samples_posterior: bool
    """Whether latents of pictures are drawn from what the VAE makes of them, or are its mode."""

    @property
    def models(self) -> dict[str, str]:
        """Folders with weights, and the beginning of the weights' file name in each."""
        parts: tuple[Part | TextPart, ...] = (self.denoiser, self.vae, *self.text)
        return {part.folder: part.weights for part in parts}

    @property
    def pipeline_class(self) -> Any:
        """Their class in diffusers, itself."""
        return of_diffusers(self.pipeline)

    # What its folder must hold, told without torch.

    @abstractmethod
    def problems(self, configs: Configs, scheduler: Config) -> list[str]:
        """What is wrong with the configurations of the parts, which are read, and of the scheduler."""

    @abstractmethod
    def promised(self, configs: Configs) -> dict[str, dict[str, list[Promise]]]:
        """By part and tensor what the configurations promise of sizes."""

    @abstractmethod
    def resolution(self, denoiser: Config, vae: Config) -> int:
        """Side of the square pictures in pixels, of checked configurations."""

    @abstractmethod
    def latent_shape(self, denoiser: Config, vae: Config) -> tuple[int, int, int]:
        """Channels, height and width of such a picture's latents."""

    def distilled(self, scheduler: Config) -> str | None:
        """What in a scheduler's file shows that a base was distilled to draw in a few steps; None if nothing does."""
        return None

    # Words.

    @abstractmethod
    def reader(self, tokenizer: Any, config: Config) -> PromptReader:
        """How prompts become tokens, by the tokenizer and configuration of a text model."""

    @abstractmethod
    def read(
        self, models: Sequence[Any], ids: Sequence[Tensor], rows: Sequence[Tensor], lengths: Sequence[int]
    ) -> PromptEmbeds:
        """What the denoiser reads of prompts.

        For each text model `ids` (prompts, tokens), and `rows` (prompts, tokens, width), the embeddings of the words
        with [V]'s in its places; `lengths` says how many tokens of each prompt are there, the others fill up.
        """

    # Noise.

    @abstractmethod
    def scheduler(self, config: Config) -> Any:
        """What knows the noise of each timestep, by a checked scheduler's file."""

    @abstractmethod
    def prediction_type(self, scheduler: Any) -> str:
        """What the denoiser predicts: `epsilon` (the noise), `v_prediction` or `flow` (velocities)."""

    @abstractmethod
    def drawn_timesteps(self, scheduler: Any, count: int, generator: Generator) -> Tensor:
        """Timesteps (count) of a training step, drawn from `generator`."""

    @abstractmethod
    def noised(self, scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents, and what is to be predicted of them; all of one shape."""

    @abstractmethod
    def predict(self, denoiser: Any, noisy: Tensor, timesteps: Tensor, text: PromptEmbeds, time_ids: Tensor) -> Tensor:
        """What the denoiser makes of noisy latents (batch, channels, height, width), of the same shape.

        `timesteps` is one for all or (batch,); `text` has one prompt for each of the batch, `time_ids` (batch, 6) the
        sizes of its picture (`model.diffusion.augment.View`).
        """

    def guided(self, without: Tensor, with_text: Tensor, scale: float) -> Tensor:
        """Classifier-free guidance of two predictions; a scale of 1 is none, whatever the family's pipeline counts."""
        return without + scale * (with_text - without)

    def pipeline_guidance(self, scale: float) -> float:
        """The same scale as the family's pipeline in diffusers counts it."""
        return scale

    @abstractmethod
    def sampler_options(self, scheduler: Any) -> dict[str, Any]:
        """Arguments of the class `sampler` that draws what this project draws from such a base."""

    def sampler_of(self, scheduler: Any) -> Any:
        """What draws, of diffusers."""
        return of_diffusers(self.sampler)(**self.sampler_options(scheduler))

    @abstractmethod
    def walk(self, scheduler: Any, steps: int, where: device) -> Walk:
        """The way from noise to a picture in so many steps."""

    # Latents.

    @abstractmethod
    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        """The VAE's latents as the denoiser knows them."""

    @abstractmethod
    def denormalised(self, vae: Any, latents: Tensor) -> Tensor:
        """The way back."""

    # Layers.

    @abstractmethod
    def is_cross_attention(self, parameter: str) -> bool:
        """Whether a parameter of the denoiser, by its name, is trained where a stage trains cross-attention."""

    def takes_lora(self, layer: str) -> bool:
        """Whether a layer of the denoiser that can hold a LoRA gets one in a stage that trains the denoiser."""
        return True

    @abstractmethod
    def watching(
        self, denoiser: nn.Module, prompt: TokenizedPrompt, see: Callable[[Tensor], None]
    ) -> AbstractContextManager[None]:
        """Inside, `see` is given what each layer makes of picture and text, in the layers' order.

        That are the scores (batch, heads, pixels, tokens) of which a softmax over the tokens is the attention of the
        picture to the text, in float32 or better; tokens stand where they stand in `prompt`.
        """

    def comparable(self, shares: Tensor, prompt: TokenizedPrompt) -> Tensor:
        """Shares of attention, as large as the weights of methods are meant for."""
        return shares

    # What a stage may ask for.

    def stage_problems(self, stage: Any) -> list[str]:
        """Settings of a stage (`model.methods.method.Stage`) that mean nothing to the family, each with the reason."""
        return []

    # Exports.

    @abstractmethod
    def add_word(self, tokenizer: Any, model: Any, token: str, row: Tensor) -> None:
        """Make [V] a word of a tokenizer and its text model for good, with its embedding (width)."""

    @abstractmethod
    def word_usage(self, part: TextPart, token: str) -> list[str]:
        """Lines of Python that give a text model of `pipeline` the word out of `embeddings`."""

    @property
    def usage_imports(self) -> tuple[str, ...]:
        """Lines of Python that those lines need."""
        return ()

    def call_options(self, resolution: int) -> dict[str, object]:
        """What else the pipeline has to be asked for such a picture."""
        return {}

    def without_form(self, form: str) -> str | None:
        """Why a version cannot be exported in a form; None where it can."""
        return None


def of_diffusers(name: str) -> Any:
    """A class of diffusers."""
    with quiet_libraries():  # it advises on other image libraries when it is first imported
        import diffusers

        return getattr(diffusers, name)

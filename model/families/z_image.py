"""Z-Image: a transformer in which picture and prompt attend to each other, and Qwen3 to read the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import Config, Configs, Family, Part, Promise, TextPart, Walk, of_diffusers
from model.families.flow_schedule import CLASS, flow_options
from model.families.reader import PromptReader
from model.families.tokenized import TokenizedPrompt
from model.families.z_image_configs import PATCH, config_problems, pixels_to_a_latent, promised

if TYPE_CHECKING:
    from torch import Generator, Tensor, device, nn

    from model.families.prompt_embeds import PromptEmbeds

_LONGEST = 512
"""Tokens of a prompt, those of the template among them."""
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_TURBO_SHIFT = 3.0
_EVEN_SHARE = 1 / 77
"""What a token has of even attention in Stable Diffusion, whose 77 tokens are all attended to."""


@dataclass(frozen=True, kw_only=True)
class ZImage(Family):
    """The family."""

    def problems(self, configs: Configs, scheduler: Config) -> list[str]:
        return config_problems(self.text, configs, scheduler)

    def promised(self, configs: Configs) -> dict[str, dict[str, list[Promise]]]:
        return promised(self.text, configs)

    def resolution(self, denoiser: Config, vae: Config) -> int:
        """The transformer's configuration knows none; the VAE's is the side that the base was made for."""
        return int(vae["sample_size"])

    def latent_shape(self, denoiser: Config, vae: Config) -> tuple[int, int, int]:
        side = int(vae["sample_size"]) // pixels_to_a_latent(vae)
        return int(vae["latent_channels"]), side, side

    def distilled(self, scheduler: Config) -> str | None:
        """Nothing else in its folder tells Turbo."""
        if scheduler.get("shift") == _TURBO_SHIFT:
            return f"its scheduler has shift {_TURBO_SHIFT:g}, as Z-Image-Turbo has; the base's is 6"
        return None

    def reader(self, tokenizer: Any, config: Config) -> PromptReader:
        """A turn of a user; nothing is filled up: the text model is causal, and the pipeline drops what was."""
        from model.families.qwen import qwen_reader

        return qwen_reader(tokenizer, _LONGEST, enable_thinking=True)

    def read(
        self, models: Sequence[Any], ids: Sequence[Tensor], rows: Sequence[Tensor], lengths: Sequence[int]
    ) -> PromptEmbeds:
        """The states before the last layer, as they are."""
        import torch

        from model.families.prompt_embeds import PromptEmbeds
        from model.families.qwen import read_layers

        (model,), (its_rows,) = models, rows
        (states,) = read_layers(model, its_rows, [model.config.num_hidden_layers - 1])
        return PromptEmbeds(states, lengths=torch.tensor(lengths, device=states.device))

    def scheduler(self, config: Config) -> Any:
        return of_diffusers(CLASS)(**flow_options(config))

    def prediction_type(self, scheduler: Any) -> str:
        return "flow"

    def drawn_timesteps(self, scheduler: Any, count: int, generator: Generator) -> Tensor:
        from model.families.flow import drawn_timesteps

        return drawn_timesteps(scheduler, count, generator)

    def noised(self, scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        from model.families.flow import noised

        return noised(scheduler, latents, noise, timesteps)

    def predict(self, denoiser: Any, noisy: Tensor, timesteps: Tensor, text: PromptEmbeds, time_ids: Tensor) -> Tensor:
        """The transformer counts time from noise to picture, and gives the way to the picture: minus the velocity."""
        import torch

        assert text.lengths is not None  # `read` has said them
        words = [states[:length] for states, length in zip(text.states, text.lengths.tolist(), strict=True)]
        pictures = list(noisy.unsqueeze(2).unbind())  # each (channels, 1, height, width)
        time = ((1000 - timesteps) / 1000).expand(len(noisy))
        return -torch.stack(denoiser(pictures, time, words, return_dict=False)[0]).squeeze(2)

    def guided(self, without: Tensor, with_text: Tensor, scale: float) -> Tensor:
        return with_text + self.pipeline_guidance(scale) * (with_text - without)

    def pipeline_guidance(self, scale: float) -> float:
        """It counts guidance from 0."""
        return scale - 1

    def sampler_options(self, scheduler: Any) -> dict[str, Any]:
        return flow_options(scheduler.config)

    def walk(self, scheduler: Any, steps: int, where: device) -> Walk:
        """Euler's steps."""
        from model.families.flow import FlowWalk

        return FlowWalk(self.sampler_of(scheduler), steps, where)

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        scaled: Tensor = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return scaled

    def denormalised(self, vae: Any, latents: Tensor) -> Tensor:
        own: Tensor = latents / vae.config.scaling_factor + vae.config.shift_factor
        return own

    def is_cross_attention(self, parameter: str) -> bool:
        """The projections of the layers in which picture and prompt meet; both of them share these."""
        names = parameter.split(".")
        return names[0] == "layers" and names[2] == "attention" and ".".join(names[3:-1]) in _PROJECTIONS

    def takes_lora(self, layer: str) -> bool:
        """Attention and feed-forward of all blocks, the refiners' among them; not what embeds and modulates."""
        return ".attention." in layer or ".feed_forward." in layer

    def watching(
        self, denoiser: nn.Module, prompt: TokenizedPrompt, see: Callable[[Tensor], None]
    ) -> AbstractContextManager[None]:
        """In the refiners picture and prompt do not meet."""
        from model.families.joint_attention import watched

        return watched(denoiser, self.patch, prompt.words, see)

    def comparable(self, shares: Tensor, prompt: TokenizedPrompt) -> Tensor:
        """As large as in Stable Diffusion where attention is even, so that a method's weights mean the same."""
        return shares * (len(prompt.words) * _EVEN_SHARE)

    def stage_problems(self, stage: Any) -> list[str]:
        if not stage.train_text_encoder:
            return []
        return [
            f"{stage.name}.train_text_encoder = true: the text model of {self.name} is a language model of billions of "
            "parameters, which no method changes; leave it out"
        ]

    def add_word(self, tokenizer: Any, model: Any, token: str, row: Tensor) -> None:
        from model.families.qwen import add_word

        add_word(tokenizer, model, token, row)

    def word_usage(self, part: TextPart, token: str) -> list[str]:
        return [
            "# the pipeline loads no embedding by itself: the word gets a row that the table has free",
            f'pipeline.{part.tokenizer}.add_tokens([AddedToken("{token}", lstrip=True)])',
            f'row = pipeline.{part.tokenizer}.convert_tokens_to_ids("{token}")',
            f"words = pipeline.{part.folder}.get_input_embeddings().weight",
            f'words.data[row] = embeddings["{part.embedding_key}"][0].to(words)',
        ]

    @property
    def usage_imports(self) -> tuple[str, ...]:
        return ("from transformers import AddedToken",)

    def call_options(self, resolution: int) -> dict[str, object]:
        """Left out, they are 1024 whatever the base was made for."""
        return {"height": resolution, "width": resolution}

    def without_form(self, form: str) -> str | None:
        """Web UIs load Stable Diffusion's single file of all parts, and LoRAs by names of its layers."""
        if form in ("diffusers", "lora"):
            return None
        return f"a {self.name} has no form that is read as {form!r} is; export it as `diffusers` or `lora`"


Z_IMAGE = ZImage(
    name="Z-Image",
    pipeline="ZImagePipeline",
    denoiser=Part(folder="transformer", model_class="ZImageTransformer2DModel"),
    vae=Part(folder="vae", model_class="AutoencoderKL"),
    text=(
        TextPart(
            folder="text_encoder",
            tokenizer="tokenizer",
            tokenizer_class="Qwen2Tokenizer",
            model_class="Qwen3Model",
            architectures=("Qwen3ForCausalLM", "Qwen3Model"),
            embedding_key="qwen3_4b",
        ),
    ),
    sampler=CLASS,
    patch=PATCH,
    preset="joint_attention",
    opened_with="diffusers 0.42.1 and transformers 5",
    samples_posterior=False,
)

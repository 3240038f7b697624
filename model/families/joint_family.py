"""What families have in common whose transformer lets picture and prompt attend to each other: a language model
(Qwen3) reads the prompt, and flow matching is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import Config, Family, TextPart, Walk, of_diffusers
from model.families.flow_schedule import CLASS, flow_options
from model.families.tokenized import TokenizedPrompt

if TYPE_CHECKING:
    from torch import Generator, Tensor

LONGEST = 512
"""Tokens of a prompt, those of the template among them."""
PATCH = 2
"""Latents of the VAE to a token of the transformer, along one side."""
_EVEN_SHARE = 1 / 77
"""What a token has of even attention in Stable Diffusion, whose 77 tokens are all attended to."""


@dataclass(frozen=True, kw_only=True)
class JointFamily(Family):
    """What is left to say is how prompts are read, what latents are, and what the transformer is given."""

    sampler: str = CLASS
    preset: str = "joint_attention"
    opened_with: str | None = "diffusers 0.42.1 and transformers 5"
    samples_posterior: bool = False
    shifts_by_size: bool = False
    """Whether drawing begins with more noise the larger the picture is; else by what the scheduler's file says."""

    def resolution(self, denoiser: Config, vae: Config) -> int:
        """The transformer's configuration knows none; the VAE's is the side that the base was made for."""
        return int(vae["sample_size"])

    def scheduler(self, config: Config) -> Any:
        return of_diffusers(CLASS)(**flow_options(config, by_size=self.shifts_by_size))

    def prediction_type(self, scheduler: Any) -> str:
        return "flow"

    def drawn_timesteps(self, scheduler: Any, count: int, generator: Generator) -> Tensor:
        from model.families.flow import drawn_timesteps

        return drawn_timesteps(scheduler, count, generator)

    def noised(self, scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        from model.families.flow import noised

        return noised(scheduler, latents, noise, timesteps)

    def sampler_options(self, scheduler: Any) -> dict[str, Any]:
        return flow_options(scheduler.config, by_size=self.shifts_by_size)

    def walk(self, scheduler: Any, steps: int, noise: Tensor) -> Walk:
        """Euler's steps."""
        from model.families.flow import FlowWalk

        return FlowWalk(self.sampler_of(scheduler), steps, noise.device)

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


def pixels_to_a_latent(vae: Config) -> int:
    """Of the VAE, along one side."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))

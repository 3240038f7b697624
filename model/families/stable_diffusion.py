"""Stable Diffusion 1.x, 2.x and XL: a UNet that reads the states of CLIP text encoders by cross-attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import Config, Configs, Family, Part, Promise, TextPart, Walk
from model.families.reader import PromptReader
from model.families.tokenized import TokenizedPrompt
from model.families.unet_configs import config_problems, promised

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from model.families.prompt_embeds import PromptEmbeds

_UNET = Part(folder="unet", model_class="UNet2DConditionModel")
_VAE = Part(folder="vae", model_class="AutoencoderKL")
_CLIP, _OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
_XL_CLIP, _XL_OPEN_CLIP = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."


@dataclass(frozen=True, kw_only=True)
class StableDiffusion(Family):
    """A family of this kind."""

    denoiser: Part = _UNET
    vae: Part = _VAE
    sampler: str = "DPMSolverMultistepScheduler"
    samples_posterior: bool = True
    penultimate: bool = False
    """The UNet reads what the text encoders' last layer is given, not the normalised states that it leaves."""
    addition_embed_type: str | None = None
    """What the UNet reads beside the text states; `text_time`: a pooled state and the sizes of the picture."""

    def problems(self, configs: Configs, scheduler: Config) -> list[str]:
        return config_problems(self.name, self.addition_embed_type, self.text, configs, scheduler)

    def promised(self, configs: Configs) -> dict[str, dict[str, list[Promise]]]:
        return promised(self.text, configs)

    def resolution(self, denoiser: Config, vae: Config) -> int:
        return int(denoiser["sample_size"]) * _pixels_to_a_latent(vae)

    def latent_shape(self, denoiser: Config, vae: Config) -> tuple[int, int, int]:
        side = int(denoiser["sample_size"])
        return int(denoiser["in_channels"]), side, side

    def reader(self, tokenizer: Any, config: Config) -> PromptReader:
        """Every prompt becomes as many tokens as the text encoder takes: start, words, end, padding."""
        from model.families.clip_words import clip_reader

        return clip_reader(tokenizer, config)

    def read(
        self, models: Sequence[Any], ids: Sequence[Tensor], rows: Sequence[Tensor], lengths: Sequence[int]
    ) -> PromptEmbeds:
        import torch

        from model.families.clip import read_clip
        from model.families.prompt_embeds import PromptEmbeds

        states, pooled = [], None
        for model, its_ids, its_rows in zip(models, ids, rows, strict=True):
            read = read_clip(model, its_ids, its_rows)
            states.append(read.penultimate if self.penultimate else read.last)
            pooled = pooled if read.pooled is None else read.pooled
        return PromptEmbeds(torch.cat(states, dim=-1), pooled)

    def scheduler(self, config: Config) -> Any:
        from model.families.noise_schedule import noise_scheduler

        return noise_scheduler(config)

    def prediction_type(self, scheduler: Any) -> str:
        return str(scheduler.config.prediction_type)

    def drawn_timesteps(self, scheduler: Any, count: int, generator: Generator) -> Tensor:
        import torch

        return torch.randint(scheduler.config.num_train_timesteps, (count,), generator=generator)

    def noised(self, scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        noisy = scheduler.add_noise(latents, noise, timesteps)
        is_noise = self.prediction_type(scheduler) == "epsilon"
        return noisy, noise if is_noise else scheduler.get_velocity(latents, noise, timesteps)

    def predict(self, denoiser: Any, noisy: Tensor, timesteps: Tensor, text: PromptEmbeds, time_ids: Tensor) -> Tensor:
        beside = None if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}
        prediction: Tensor = denoiser(noisy, timesteps, text.states, added_cond_kwargs=beside).sample
        return prediction

    def sampler_options(self, scheduler: Any) -> dict[str, Any]:
        from model.families.noise_schedule import solver_options

        return solver_options(scheduler)

    def walk(self, scheduler: Any, steps: int, noise: Tensor) -> Walk:
        """DPM-Solver++ (arXiv 2211.01095) along the base's own noise."""
        from model.families.noise_schedule import SolverWalk

        return SolverWalk(scheduler, steps, noise.device)

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        scaled: Tensor = latents * vae.config.scaling_factor
        return scaled

    def denormalised(self, vae: Any, latents: Tensor) -> Tensor:
        own: Tensor = latents / vae.config.scaling_factor
        return own

    def is_cross_attention(self, parameter: str) -> bool:
        return ".attn2." in parameter

    def watching(
        self, denoiser: nn.Module, prompt: TokenizedPrompt, see: Callable[[Tensor], None]
    ) -> AbstractContextManager[None]:
        """Only cross-attention (`attn2`) is touched, and it has its own processors back afterwards."""
        from model.families.cross_attention import watched

        return watched(denoiser, see)

    def add_word(self, tokenizer: Any, model: Any, token: str, row: Tensor) -> None:
        from model.families.clip import add_word

        add_word(tokenizer, model, token, row)

    def word_usage(self, part: TextPart, token: str) -> list[str]:
        lines = [
            f'pipeline.load_textual_inversion(embeddings["{part.embedding_key}"], token="{token}",',
            f"    text_encoder=pipeline.{part.folder}, tokenizer=pipeline.{part.tokenizer})",
        ]
        if part.model_class == _POOLS:
            lines += [
                "# it looks for the largest id to find the end of the prompt, and the new word's is larger",
                f"pipeline.{part.folder}.text_model.eos_token_id = pipeline.{part.tokenizer}.eos_token_id",
            ]
        return lines


def _pixels_to_a_latent(vae: Config) -> int:
    return int(2 ** (len(vae["block_out_channels"]) - 1))


_POOLS = "CLIPTextModelWithProjection"
STABLE_DIFFUSION = StableDiffusion(
    name="Stable Diffusion 1.x or 2.x",
    pipeline="StableDiffusionPipeline",
    pipeline_options={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    text=(
        TextPart(
            folder="text_encoder",
            tokenizer="tokenizer",
            model_class="CLIPTextModel",
            embedding_key="emb_params",
            original_names={"clip": _CLIP, "open_clip": _OPEN_CLIP},
        ),
    ),
)
STABLE_DIFFUSION_XL = StableDiffusion(
    name="Stable Diffusion XL",
    pipeline="StableDiffusionXLPipeline",
    pipeline_options={"add_watermarker": False},
    text=(
        TextPart(
            folder="text_encoder",
            tokenizer="tokenizer",
            model_class="CLIPTextModel",
            embedding_key="clip_l",
            original_names={"clip": _XL_CLIP},
        ),
        TextPart(
            folder="text_encoder_2",
            tokenizer="tokenizer_2",
            model_class=_POOLS,
            embedding_key="clip_g",
            original_names={"open_clip": _XL_OPEN_CLIP},
        ),
    ),
    penultimate=True,
    addition_embed_type="text_time",
    zero_option="force_zeros_for_empty_prompt",
)

"""FLUX.2 klein: a transformer in which picture and prompt attend to each other, and Qwen3 to read the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import Config, Configs, Part, Promise, Published, TextPart, Walk
from model.families.joint_family import LONGEST, PATCH, JointFamily, pixels_to_a_latent
from model.families.klein_configs import config_problems, promised
from model.families.reader import PromptReader
from model.families.tokenized import TokenizedPrompt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.families.prompt_embeds import PromptEmbeds

_READ = (9, 18, 27)
"""The layers of the text model behind which states are read. An argument of the pipeline: no folder says it."""
_STEPS = 1000
_CROSS_ATTENTION = ("to_q", "add_k_proj", "add_v_proj", "to_out.0")
_LORA = {
    "transformer_blocks": (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("ff.linear_in", "ff.linear_out", "ff_context.linear_in", "ff_context.linear_out"),
    ),
    "single_transformer_blocks": ("attn.to_qkv_mlp_proj", "attn.to_out"),
}
"""Attention and feed-forward of all blocks, the fused ones among them; not what embeds and modulates."""


@dataclass(frozen=True, kw_only=True)
class Klein(JointFamily):
    """The family."""

    def refused(self, index: Config) -> str | None:
        """Nothing else in its folder tells the distilled one."""
        if not index.get("is_distilled"):
            return None
        return (
            "it was distilled to draw in a few steps without guidance (is_distilled in model_index.json), which "
            "training would undo; name the base that it was distilled from, as FLUX.2-klein-base-4B"
        )

    def problems(self, configs: Configs, scheduler: Config) -> list[str]:
        return config_problems(self.text, _READ, configs, scheduler)

    def promised(self, configs: Configs) -> dict[str, dict[str, list[Promise]]]:
        return promised(self.text, configs)

    def latent_shape(self, denoiser: Config, vae: Config) -> tuple[int, int, int]:
        """Four of the VAE's, 2 x 2, are one here."""
        side = int(vae["sample_size"]) // (PATCH * pixels_to_a_latent(vae))
        return PATCH**2 * int(vae["latent_channels"]), side, side

    def reader(self, tokenizer: Any, config: Config) -> PromptReader:
        """A turn of a user and an answer without thoughts, filled up: the transformer attends to the padding too."""
        from model.families.qwen import qwen_reader

        return qwen_reader(tokenizer, LONGEST, padded=True, enable_thinking=False)

    def read(
        self, models: Sequence[Any], ids: Sequence[Tensor], rows: Sequence[Tensor], lengths: Sequence[int]
    ) -> PromptEmbeds:
        """The states behind three layers, side by side; the padding's see the prompt, and no other padding."""
        import torch

        from model.families.prompt_embeds import PromptEmbeds
        from model.families.qwen import read_layers

        (model,), (its_rows,) = models, rows
        there = torch.tensor(lengths, device=its_rows.device)[:, None]
        attended = torch.arange(its_rows.shape[1], device=its_rows.device) < there  # (prompts, tokens)
        return PromptEmbeds(torch.cat(read_layers(model.model, its_rows, _READ, attended), dim=-1))

    def predict(self, denoiser: Any, noisy: Tensor, timesteps: Tensor, text: PromptEmbeds, time_ids: Tensor) -> Tensor:
        """The transformer reads a picture as a row of tokens, and gives the velocity as it is."""
        from model.families.klein_attention import places

        rows, columns = noisy.shape[-2:]
        of_picture, of_text = places(rows, columns, text.states.shape[1], noisy.device)
        (velocity,) = denoiser(
            hidden_states=noisy.flatten(2).transpose(1, 2),  # (batch, tokens, channels)
            encoder_hidden_states=text.states,
            timestep=(timesteps / _STEPS).expand(len(noisy)),
            img_ids=of_picture,
            txt_ids=of_text,
            guidance=None,
            return_dict=False,
        )
        found: Tensor = velocity.transpose(1, 2).unflatten(2, (rows, columns))
        return found

    def walk(self, scheduler: Any, steps: int, noise: Tensor) -> Walk:
        """Euler's steps, the more of them in noise the larger the picture is and the fewer they are."""
        from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

        from model.families.flow import FlowWalk

        mu = compute_empirical_mu(noise.shape[-2] * noise.shape[-1], steps)
        return FlowWalk(self.sampler_of(scheduler), steps, noise.device, mu)

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        """Each four of 2 x 2 are one with all their channels, and have mean 0 and deviation 1."""
        patches = latents.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))  # (batch, channels, rows, 2, columns, 2)
        one = patches.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        mean, deviation = _statistics(vae)
        return (one - mean) / deviation

    def denormalised(self, vae: Any, latents: Tensor) -> Tensor:
        mean, deviation = _statistics(vae)
        patches = (latents * deviation + mean).unflatten(1, (-1, PATCH, PATCH))
        return patches.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)

    def is_cross_attention(self, parameter: str) -> bool:
        """What Stable Diffusion's cross-attention has: the picture's queries, the text's keys and values, what is made
        of both. Only the double blocks have these apart, about as small a part of the whole as there. In a single block
        they are one matrix with those of the text and with the feed-forward, which is the third stage's."""
        names = parameter.split(".")
        return names[0] == "transformer_blocks" and names[2] == "attn" and ".".join(names[3:-1]) in _CROSS_ATTENTION

    def takes_lora(self, layer: str) -> bool:
        blocks, _, inside = layer.partition(".")
        return inside.partition(".")[2] in _LORA.get(blocks, ())

    def watching(
        self, denoiser: nn.Module, prompt: TokenizedPrompt, see: Callable[[Tensor], None]
    ) -> AbstractContextManager[None]:
        """In every block picture and prompt meet."""
        from model.families.klein_attention import klein_watched

        return klein_watched(denoiser, prompt.words, see)


def _statistics(vae: Any) -> tuple[Tensor, Tensor]:
    """Mean and deviation of what is read as one, each (1, channels, 1, 1)."""
    norm = vae.bn
    deviation = (norm.running_var + vae.config.batch_norm_eps).sqrt()
    return norm.running_mean.view(1, -1, 1, 1), deviation.view(1, -1, 1, 1)


KLEIN = Klein(
    name="FLUX.2 klein",
    pipeline="Flux2KleinPipeline",
    denoiser=Part(folder="transformer", model_class="Flux2Transformer2DModel"),
    vae=Part(folder="vae", model_class="AutoencoderKLFlux2"),
    text=(
        TextPart(
            folder="text_encoder",
            tokenizer="tokenizer",
            tokenizer_class="Qwen2Tokenizer",
            model_class="Qwen3ForCausalLM",
            embedding_key="qwen3_4b",
        ),
    ),
    shifts_by_size=True,
    published=Published(
        called="klein",
        hub_id="black-forest-labs/FLUX.2-klein-base-4B",
        licence="Apache-2.0",
        guidance_scale=4.0,
        num_inference_steps=50,
    ),
)

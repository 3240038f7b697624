"""Z-Image: a transformer in which picture and prompt attend to each other, and Qwen3 to read the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.families.family import Config, Configs, Part, Promise, Published, TextPart
from model.families.joint_family import LONGEST, PATCH, JointFamily, pixels_to_a_latent
from model.families.reader import PromptReader
from model.families.tokenized import TokenizedPrompt
from model.families.z_image_configs import config_problems, promised

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.families.prompt_embeds import PromptEmbeds

_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_TURBO_SHIFT = 3.0


@dataclass(frozen=True, kw_only=True)
class ZImage(JointFamily):
    """The family."""

    def problems(self, configs: Configs, scheduler: Config) -> list[str]:
        return config_problems(self.text, configs, scheduler)

    def promised(self, configs: Configs) -> dict[str, dict[str, list[Promise]]]:
        return promised(self.text, configs)

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

        return qwen_reader(tokenizer, LONGEST, enable_thinking=True)

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
        from model.families.z_image_attention import z_image_watched

        return z_image_watched(denoiser, self.patch, prompt.words, see)


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
    patch=PATCH,
    published=Published(
        called="z-image",
        hub_id="Tongyi-MAI/Z-Image",
        licence="Apache-2.0",
        guidance_scale=5.0,
        num_inference_steps=28,
    ),
)

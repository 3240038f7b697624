"""A LoRA under the names of kohya's sd-scripts, which Stable Diffusion web UI, ComfyUI and most other programs read.

A layer's name has underscores for dots behind the name of its part, and each layer an alpha; the change is alpha / rank
times B A. The UNet of Stable Diffusion XL goes by the original's names there, those of 1.x and 2.x by diffusers' names.
"""

from collections.abc import Callable, Mapping

import torch

from model.bases.base import Base
from model.errors import InputError
from model.exports.low_rank import of_one_rank
from model.exports.older_libraries import long_name
from model.exports.original_names import UNET, original_unet
from model.weights.lora import DOWN, UP, lora_layers

_VERSIONS = {768: "sd_v1", 1024: "sd_v2", 2048: "sdxl_base_v1-0"}
"""What kohya calls a base, by the width of the states that its UNet reads."""


def kohya_lora(base: Base, layers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the file; `layers` are by the names of `model.weights.lora`.

    All layers have one rank and that as their alpha: the scale is 1 for whoever reads the alphas, and for whoever does
    not. Raises InputError for a base whose family has no names there.
    """
    if reason := base.family.without_form("kohya"):
        raise InputError(f"base model '{base.source.reference}': {reason}")
    even, names = of_one_rank(layers), _kohya_names(base)
    tensors: dict[str, torch.Tensor] = {}
    for layer in lora_layers(even):
        name, down = names(layer), even[layer + DOWN]
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": even[layer + UP]}
        tensors[f"{name}.alpha"] = torch.tensor(float(len(down)))
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def kohya_facts(base: Base, rank: int, name: str) -> dict[str, str]:
    """What the file says of itself, by which other programs tell what it goes with."""
    facts = {
        "format": "pt",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_output_name": name,
    }
    version = _VERSIONS.get(base.denoiser.config.cross_attention_dim)
    return facts | ({"ss_base_model_version": version, "ss_v2": str(version == "sd_v2")} if version else {})


def _kohya_names(base: Base) -> Callable[[str], str]:
    """What gives a layer such as `unet.conv_in` the name that it has there."""
    is_xl = len(base.text_encoders) > 1
    own: dict[str, str] = {}
    if is_xl:
        weights = base.denoiser.state_dict()
        original = original_unet(weights, base.denoiser.config.layers_per_block)
        own = {name: other.removeprefix(UNET) for name, other in zip(weights, original, strict=True)}

    def name_of(layer: str) -> str:
        place, _, inner = layer.partition(".")
        if place == base.family.denoiser.folder:
            part = "lora_unet"
            inner = own.get(f"{inner}.weight", f"{inner}.weight").removesuffix(".weight")
        else:
            number = {"text_encoder": "1", "text_encoder_2": "2"}[place] if is_xl else ""
            part, inner = f"lora_te{number}", long_name(inner)
        return f"{part}_{inner.replace('.', '_')}"

    return name_of

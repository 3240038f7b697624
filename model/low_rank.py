"""A concept's change of UNet and text encoders as a LoRA of chosen rank, and what is lost by that.

The change of each linear layer and convolution, as a matrix (out, in x height x width), is cut to its largest singular
values, the best approximation of that rank (Eckart and Young, 1936). Biases and norms have no place in a LoRA.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from model.base import Base
from model.weights import ConceptWeights, modules_of, parameters_of


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is lost of the change of one parameter."""

    parameter: str
    change: float
    """Frobenius norm of the change."""
    error: float
    """Frobenius norm of what is lost of it."""

    @property
    def relative(self) -> float:
        """0: nothing is lost, 1: everything."""
        return self.error / self.change


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """The layers of a LoRA, and what it loses."""

    layers: dict[str, torch.Tensor]
    """By the names of peft: `unet.<layer>.lora_A.weight` (rank, in, ...), `unet.<layer>.lora_B.weight` (out, rank,
    ...), and the same of text encoders."""
    losses: tuple[Loss, ...]
    """Of every parameter that the training changed."""

    @property
    def relative(self) -> float:
        """Of the whole change."""
        error, change = (sum(getattr(loss, name) ** 2 for loss in self.losses) ** 0.5 for name in ("error", "change"))
        return error / change if change else 0.0


def matrix_layers(base: Base) -> set[str]:
    """The layers whose change a LoRA can hold, as `unet.conv_in`."""
    return {
        f"{place}.{name}"
        for place, module in modules_of(base).items()
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


@torch.no_grad()
def low_rank(base: Base, weights: ConceptWeights, rank: int) -> LowRank:
    """The concept as changes of at most `rank`. Raises InputError if the weights do not fit the base."""
    weights.check_fits(base)
    before, linear = parameters_of(base), matrix_layers(base)
    layers: dict[str, torch.Tensor] = {}
    losses = []
    for name, trained in weights.changed.items():
        change = trained.float() - before[name].cpu().float()
        norm = float(change.norm())
        if norm == 0:
            continue
        layer, _, kind = name.rpartition(".")
        if kind != "weight" or layer not in linear:
            losses.append(Loss(parameter=name, change=norm, error=norm))
            continue
        left, values, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
        kept = min(rank, len(values))
        half = values[:kept].sqrt()
        down, up = half[:, None] * right[:kept], left[:, :kept] * half  # (rank, in x height x width), (out, rank)
        layers[f"{layer}.lora_A.weight"] = down.reshape(kept, *change.shape[1:]).contiguous()
        layers[f"{layer}.lora_B.weight"] = up.reshape(*up.shape, *(1 for _ in change.shape[2:])).contiguous()
        losses.append(Loss(parameter=name, change=norm, error=float(values[kept:].norm())))
    return LowRank(layers=layers, losses=tuple(losses))


def as_diffusers_saves(layers: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """A LoRA's layers as the arguments of a diffusers pipeline's `save_lora_weights`, such as `unet_lora_layers`."""
    arguments: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in layers.items():
        place, _, layer = name.partition(".")
        arguments.setdefault(f"{place}_lora_layers", {})[layer] = tensor
    return arguments


@torch.no_grad()
def restored(base: Base, weights: ConceptWeights, found: LowRank) -> ConceptWeights:
    """The concept as it is with the LoRA in the place of its own weights; `base` is still the base."""
    before, changed = parameters_of(base), {}
    for loss in found.losses:
        layer = loss.parameter.rpartition(".")[0]
        if f"{layer}.lora_A.weight" in found.layers and loss.parameter.endswith(".weight"):
            down, up = found.layers[f"{layer}.lora_A.weight"], found.layers[f"{layer}.lora_B.weight"]
            own = before[loss.parameter].detach().cpu()
            changed[loss.parameter] = own + (up.flatten(1) @ down.flatten(1)).reshape(own.shape)
    return ConceptWeights.of(weights.prompt, weights.embeddings, changed)

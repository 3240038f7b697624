"""A concept's change of the UNet as a LoRA of chosen rank, and what is lost by that.

The change of each linear layer and convolution, as a matrix (out, in x height x width), is cut to its largest singular
values, the best approximation of that rank (Eckart and Young, 1936). Biases and norms have no place in a LoRA.
"""

from dataclasses import dataclass, replace

import torch

from model.base import Base
from model.weights import ConceptWeights


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
    """By the names of peft: `<layer>.lora_A.weight` (rank, in, ...), `<layer>.lora_B.weight` (out, rank, ...)."""
    losses: tuple[Loss, ...]
    """Of every parameter that the training changed."""

    @property
    def relative(self) -> float:
        """Of the whole change."""
        error, change = (sum(getattr(loss, name) ** 2 for loss in self.losses) ** 0.5 for name in ("error", "change"))
        return error / change if change else 0.0


@torch.no_grad()
def low_rank(base: Base, weights: ConceptWeights, rank: int) -> LowRank:
    """The concept's UNet as changes of at most `rank`. Raises InputError if the weights do not fit the base."""
    weights.check_fits(base)
    layers: dict[str, torch.Tensor] = {}
    losses = []
    for name, trained in weights.unet.items():
        change = trained.float() - base.unet.get_parameter(name).cpu().float()
        norm = float(change.norm())
        if norm == 0:
            continue
        layer, _, kind = name.rpartition(".")
        module = base.unet.get_submodule(layer)
        if kind != "weight" or not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
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


@torch.no_grad()
def restored(base: Base, weights: ConceptWeights, found: LowRank) -> ConceptWeights:
    """The concept as it is with the LoRA in the place of its own weights; `base` is still the base."""
    unet = {}
    for loss in found.losses:
        layer = loss.parameter.rpartition(".")[0]
        before = base.unet.get_parameter(loss.parameter).cpu()
        if f"{layer}.lora_A.weight" in found.layers and loss.parameter.endswith(".weight"):
            down, up = found.layers[f"{layer}.lora_A.weight"], found.layers[f"{layer}.lora_B.weight"]
            unet[loss.parameter] = before + (up.flatten(1) @ down.flatten(1)).reshape(before.shape)
    return replace(weights, unet=unet)

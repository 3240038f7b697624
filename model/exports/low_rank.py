"""A concept's change of UNet and text encoders as a LoRA of chosen rank, and what is lost by that.

The change of each linear layer and convolution, as a matrix (out, in x height x width), is cut to its largest singular
values, the best approximation of that rank (Eckart and Young, 1936). Biases and norms have no place in a LoRA.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from model.bases.base import Base
from model.bases.parameters import parameters_of
from model.exports.older_libraries import long_name
from model.weights.concept import ConceptWeights
from model.weights.lora import DOWN, UP, lora_layers, matrix_layers

USUAL_RANK = 32
"""Of what was not trained as a LoRA."""


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
    """By the names of `model.weights.lora`."""
    losses: tuple[Loss, ...]
    """Of every parameter that the training changed."""

    @property
    def rank(self) -> int:
        """The highest of any layer."""
        return max(len(tensor) for name, tensor in self.layers.items() if name.endswith(DOWN))

    @property
    def relative(self) -> float:
        """Of the whole change."""
        error, change = (sum(getattr(loss, name) ** 2 for loss in self.losses) ** 0.5 for name in ("error", "change"))
        return error / change if change else 0.0


@torch.no_grad()
def low_rank(base: Base, weights: ConceptWeights, rank: int | None = None) -> LowRank:
    """The concept as changes of at most `rank`. Raises InputError if the weights do not fit the base.

    What was trained as a LoRA is taken as it is, and nothing of it is lost, unless `rank` is below its own. Without
    `rank` everything else is cut to USUAL_RANK.
    """
    weights.check_fits(base)
    before, linear = parameters_of(base), matrix_layers(base)
    layers: dict[str, torch.Tensor] = {}
    losses = []
    with weights.applied(base):
        trained = {name: before[name].detach().to("cpu", torch.float32, copy=True) for name in sorted(weights.touched)}
    for name in trained:
        change = trained[name] - before[name].cpu().float()
        norm = float(change.norm())
        if norm == 0:
            continue
        layer, _, kind = name.rpartition(".")
        if kind != "weight" or layer not in linear:
            losses.append(Loss(parameter=name, change=norm, error=norm))
            continue
        own = {part: weights.lora[part] for part in (layer + DOWN, layer + UP) if part in weights.lora}
        if own and name not in weights.changed and len(own[layer + DOWN]) <= (rank or len(own[layer + DOWN])):
            layers |= own
            losses.append(Loss(parameter=name, change=norm, error=0.0))
            continue
        left, values, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
        kept = min(rank or USUAL_RANK, len(values))
        half = values[:kept].sqrt()
        down, up = half[:, None] * right[:kept], left[:, :kept] * half  # (rank, in x height x width), (out, rank)
        layers[layer + DOWN] = down.reshape(kept, *change.shape[1:]).contiguous()
        layers[layer + UP] = up.reshape(*up.shape, *(1 for _ in change.shape[2:])).contiguous()
        losses.append(Loss(parameter=name, change=norm, error=float(values[kept:].norm())))
    return LowRank(layers=layers, losses=tuple(losses))


def of_one_rank(layers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same LoRA with every layer of the highest rank: rows and columns of zeros are added, which change nothing.

    A file without alphas is read by one scale for all layers: diffusers before 0.40 takes the first layer's rank for
    the alpha of all (`get_peft_kwargs`), so a layer of another rank is applied too strongly or too weakly.
    """
    rank = max((len(layers[layer + DOWN]) for layer in lora_layers(layers)), default=0)
    even: dict[str, torch.Tensor] = {}
    for layer in lora_layers(layers):
        down, up = layers[layer + DOWN], layers[layer + UP]  # (rank, in, ...), (out, rank, ...)
        missing = rank - len(down)
        even[layer + DOWN] = torch.cat([down, down.new_zeros(missing, *down.shape[1:])])
        even[layer + UP] = torch.cat([up, up.new_zeros(len(up), missing, *up.shape[2:])], dim=1)
    return even


def as_diffusers_saves(layers: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """A LoRA's layers as the arguments of a diffusers pipeline's `save_lora_weights`, such as `unet_lora_layers`.

    All have one rank, so that every reader applies them alike, and a text encoder's have the names of transformers 4,
    which both know.
    """
    arguments: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in of_one_rank(layers).items():
        place, _, layer = name.partition(".")
        if place.startswith("text_encoder"):
            layer = long_name(layer)
        arguments.setdefault(f"{place}_lora_layers", {})[layer] = tensor
    return arguments


def restored(weights: ConceptWeights, found: LowRank) -> ConceptWeights:
    """The concept as it is with the LoRA in the place of its own weights."""
    return ConceptWeights.of(weights.prompt, weights.embeddings, found.layers)

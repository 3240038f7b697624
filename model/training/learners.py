"""What a stage trains of a base: its own parameters, or a LoRA beside them; and what it leaves of both."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from model.bases.base import Base
from model.bases.parameters import parameters_of
from model.methods.method import Stage
from model.weights.concept import ConceptWeights
from model.weights.lora import DOWN, UP, adapted, finished_lora, joined_loras, lora_layers, matrix_layers


def trained_names(base: Base, stage: Stage) -> list[str]:
    """Names of the parameters that the stage changes, in their own place or by a LoRA."""
    own = [name for name, _ in base.denoiser.named_parameters()]
    names = [f"{base.family.denoiser.folder}.{name}" for name in own]
    text = [f"{encoder.part.folder}.{name}" for encoder in base.text_encoders for name in encoder.layer_names]
    return {
        "embedding": [],
        "cross_attention": [
            name for name, inside in zip(names, own, strict=True) if base.family.is_cross_attention(inside)
        ],
        "unet": [*names, *(text if stage.train_text_encoder else ())],
    }[stage.trains]


@contextmanager
def learners(base: Base, stage: Stage, seed: int) -> Iterator[dict[str, torch.nn.Parameter]]:
    """Inside, what the stage trains of the base is in it, by name; of a LoRA the adapters, begun by `seed`."""
    names = trained_names(base, stage)
    if not stage.lora_rank:
        every = parameters_of(base)
        yield {name: every[name] for name in names}
        return
    layers = matrix_layers(base) & {name.rpartition(".")[0] for name in names}
    denoiser = f"{base.family.denoiser.folder}."
    layers = {
        layer
        for layer in layers
        if not layer.startswith(denoiser) or base.family.takes_lora(layer.removeprefix(denoiser))
    }
    with adapted(base, sorted(layers), rank=stage.lora_rank, alpha=stage.lora_alpha, seed=seed) as adapters:
        yield adapters


def left_by(
    stage: Stage, previous: ConceptWeights | None, learnt: Mapping[str, torch.nn.Parameter]
) -> dict[str, torch.Tensor]:
    """What has been trained of the base when the stage is over, by it and before it, on the host."""
    changed, lora = (previous.changed, previous.lora) if previous else ({}, {})
    if stage.lora_rank:
        return changed | joined_loras(lora, finished_lora(learnt, rank=stage.lora_rank, alpha=stage.lora_alpha))
    # A layer that was now trained itself has taken up what its LoRA was.
    own = {f"{layer}{end}" for layer in lora_layers(lora) if f"{layer}.weight" in learnt for end in (DOWN, UP)}
    rest = {name: tensor for name, tensor in lora.items() if name not in own}
    return changed | rest | {name: parameter.detach().to("cpu", copy=True) for name, parameter in learnt.items()}

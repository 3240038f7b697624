"""The parameters of a base that trainings may change, by name, and how they are changed and given back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from model.bases.base import Base


def modules_of(base: Base) -> dict[str, torch.nn.Module]:
    """The models of a base that trainings may change, by their folders in it."""
    return {base.family.denoiser.folder: base.denoiser} | {
        encoder.part.folder: encoder.model for encoder in base.text_encoders
    }


def parameters_of(base: Base) -> dict[str, torch.nn.Parameter]:
    """All that trainings may change of a base: `unet.conv_in.weight`, `text_encoder.encoder.layers.0.mlp.fc1.bias`."""
    return {
        f"{place}.{name}": parameter
        for place, module in modules_of(base).items()
        for name, parameter in module.named_parameters()
    }


@contextmanager
def borrowed_parameters(parameters: Mapping[str, torch.nn.Parameter]) -> Iterator[None]:
    """Inside, these parameters may be changed in place; afterwards they are as before, also after an error."""
    # On the host: a second denoiser on the device would take gigabytes from the training.
    kept = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
    try:
        yield
    finally:
        put_parameters(parameters, kept)


@torch.no_grad()
def put_parameters(parameters: Mapping[str, torch.nn.Parameter], values: Mapping[str, torch.Tensor]) -> None:
    """Copy values into the parameters of the same names."""
    for name, value in values.items():
        parameters[name].copy_(value)

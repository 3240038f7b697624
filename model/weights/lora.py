"""LoRA (arXiv 2106.09685): a layer's change as the product of two thin matrices, trained by peft.

A LoRA is held as tensors by the names of peft, `unet.<layer>.lora_A.weight` (rank, in, ...) and
`unet.<layer>.lora_B.weight` (out, rank, ...), with the scale alpha / rank inside B: the change is B A.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch

from model.bases.base import Base
from model.bases.parameters import modules_of

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
Lora = Mapping[str, torch.Tensor]


def lora_layers(lora: Lora) -> list[str]:
    """The layers that a LoRA changes, as `unet.conv_in`."""
    return [name.removesuffix(DOWN) for name in lora if name.endswith(DOWN)]


def lora_change(lora: Lora, layer: str) -> torch.Tensor:
    """The change of a layer's weight (out, in, ...)."""
    down, up = lora[layer + DOWN], lora[layer + UP]
    return (up.flatten(1) @ down.flatten(1)).reshape(lora_shape(lora, layer))


def lora_shape(lora: Lora, layer: str) -> torch.Size:
    """Shape of that change."""
    return torch.Size((len(lora[layer + UP]), *lora[layer + DOWN].shape[1:]))


def joined_loras(first: Lora, second: Lora) -> dict[str, torch.Tensor]:
    """One LoRA whose change is that of both; a layer that both have has the rank of both together."""
    joined = {**first, **second}
    for layer in set(lora_layers(first)) & set(lora_layers(second)):
        joined[layer + DOWN] = torch.cat([first[layer + DOWN], second[layer + DOWN]])
        joined[layer + UP] = torch.cat([first[layer + UP], second[layer + UP]], dim=1)
    return joined


def matrix_layers(base: Base) -> set[str]:
    """The layers whose change a LoRA can hold, linear ones and convolutions, as `unet.conv_in`."""
    return {
        f"{place}.{name}"
        for place, module in modules_of(base).items()
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


@contextmanager
def adapted(
    base: Base, layers: Collection[str], *, rank: int, alpha: float, seed: int
) -> Iterator[dict[str, torch.nn.Parameter]]:
    """Inside, `layers` have adapters, which change nothing before they are trained; afterwards they have none.

    Yields the adapters' parameters by the names above. Their change is alpha / rank times B A.
    """
    from peft import LoraConfig, LoraModel

    tuners, parameters = [], dict[str, torch.nn.Parameter]()
    try:
        with torch.random.fork_rng(devices=[]):  # adapters are made on the CPU, from the global generator
            torch.manual_seed(seed)
            for place, module in modules_of(base).items():
                chosen = [layer.removeprefix(f"{place}.") for layer in layers if layer.startswith(f"{place}.")]
                if not chosen:
                    continue
                exactly = "|".join(map(re.escape, chosen))  # a list would be taken for ends of names
                config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=exactly)
                tuners.append(LoraModel(module, config, "default"))
                parameters |= {
                    f"{place}.{name.replace('.default.', '.')}": parameter
                    for name, parameter in module.named_parameters()
                    if ".lora_" in name
                }
        yield parameters
    finally:
        for tuner in tuners:
            tuner.unload()


def finished_lora(parameters: Mapping[str, torch.nn.Parameter], *, rank: int, alpha: float) -> dict[str, torch.Tensor]:
    """What `adapted` has yielded, trained, as a LoRA on the host: the scale goes into B."""
    return {
        name: parameter.detach().to("cpu", copy=True) * (alpha / rank if name.endswith(UP) else 1)
        for name, parameter in parameters.items()
    }

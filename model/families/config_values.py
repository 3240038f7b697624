"""What values of a base's configuration may be: kind and size, checked before a library or memory is asked.

Keys that are not named here are left to the library, which ignores what it does not know: published bases hold keys of
many versions.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_MOST = 10_000_000
"""Of any whole number in a configuration; the largest that stands in a published one is a vocabulary's size."""
_MOST_ENTRIES = 10_000
_SHOWN = 60


class Allowed(Protocol):
    """What a value may be."""

    def wanted(self, value: Any) -> str | None:
        """What is needed instead of this value; None if it may be."""
        ...


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int
    high: int

    def wanted(self, value: Any) -> str | None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and self.low <= value <= self.high else f"a whole number from {self.low} to {self.high:,}"


@dataclass(frozen=True)
class Number:
    """A number."""

    low: float
    high: float

    def wanted(self, value: Any) -> str | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return None if is_number and self.low <= value <= self.high else f"a number from {self.low} to {self.high:,}"


@dataclass(frozen=True)
class Numbers:
    """A list of numbers."""

    low: float
    high: float
    most: int

    def wanted(self, value: Any) -> str | None:
        each = Number(self.low, self.high)
        fits = isinstance(value, list) and len(value) <= self.most and not any(each.wanted(one) for one in value)
        return None if fits else f"a list of at most {self.most:,} numbers from {self.low} to {self.high:,}"


@dataclass(frozen=True)
class Wholes:
    """A list of whole numbers, one for each block; where `or_one`, also one number for all blocks."""

    low: int
    high: int
    or_one: bool = False

    def wanted(self, value: Any) -> str | None:
        each, most = Whole(self.low, self.high), 16
        if self.or_one and each.wanted(value) is None:
            return None
        flat = [one for part in value for one in (part if isinstance(part, list) else [part])] if _listed(value) else []
        fits = 0 < len(flat) <= most * most and not any(each.wanted(one) for one in flat)
        return None if fits else f"a list of whole numbers from {self.low} to {self.high:,}"


@dataclass(frozen=True)
class Words:
    """A list of texts, one for each block."""

    def wanted(self, value: Any) -> str | None:
        fits = _listed(value) and all(isinstance(word, str) for word in value)
        return None if fits else "a list of one to sixteen names"


class Choice:
    """One of several words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def wanted(self, value: Any) -> str | None:
        return None if isinstance(value, str) and value in self._words else f"one of {', '.join(self._words)}"


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def wanted(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else "true or false"


def _listed(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 16


UNET: Mapping[str, Allowed] = {
    "in_channels": Whole(1, 64),
    "out_channels": Whole(1, 64),
    "block_out_channels": Wholes(1, 8192),
    "down_block_types": Words(),
    "up_block_types": Words(),
    "layers_per_block": Wholes(1, 16, or_one=True),
    "cross_attention_dim": Wholes(1, 16384, or_one=True),
    "attention_head_dim": Wholes(1, 1024, or_one=True),
    "num_attention_heads": Wholes(1, 1024, or_one=True),
    "transformer_layers_per_block": Wholes(1, 64, or_one=True),
    "reverse_transformer_layers_per_block": Wholes(1, 64, or_one=True),
    "norm_num_groups": Whole(1, 8192),
    "conv_in_kernel": Whole(1, 16),
    "conv_out_kernel": Whole(1, 16),
    "addition_time_embed_dim": Whole(1, 8192),
    "projection_class_embeddings_input_dim": Whole(1, 65536),
}
VAE: Mapping[str, Allowed] = {
    "in_channels": Whole(3, 3),
    "out_channels": Whole(3, 3),
    "latent_channels": Whole(1, 64),
    "block_out_channels": Wholes(1, 8192),
    "down_block_types": Words(),
    "up_block_types": Words(),
    "layers_per_block": Whole(1, 16),
    "norm_num_groups": Whole(1, 8192),
    "scaling_factor": Number(1e-4, 1e4),
}
TEXT: Mapping[str, Allowed] = {
    "architectures": Words(),
    "hidden_size": Whole(1, 16384),
    "intermediate_size": Whole(1, 131072),
    "num_hidden_layers": Whole(1, 256),
    "num_attention_heads": Whole(1, 1024),
    "max_position_embeddings": Whole(4, 8192),
    "vocab_size": Whole(3, 2**20),
    "projection_dim": Whole(1, 16384),
}


def value_problems(config: Mapping[str, Any], allowed: Mapping[str, Allowed]) -> list[str]:
    """One sentence for each value that has another kind or size; what is not said, or null, has the library's own."""
    given = {name: config[name] for name in allowed if config.get(name) is not None}
    found = [(name, value, allowed[name].wanted(value)) for name, value in given.items()]
    return [f"{name} {shown(value)}: {wanted} is needed" for name, value, wanted in found if wanted]


def size_problems(config: Mapping[str, Any]) -> list[str]:
    """Absurd values, whatever they are called: numbers and lists that no model has."""
    problems = []
    waiting = list(config.items())
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, int) and abs(value) > _MOST:
            problems.append(f"{name} {shown(value)}: no model has so many")
        elif isinstance(value, list) and len(value) > _MOST_ENTRIES:
            problems.append(f"{name}: a list of {len(value):,} entries; no model has so many")
        elif isinstance(value, list):
            waiting += [(name, one) for one in value]
        elif isinstance(value, dict):
            waiting += [(f"{name}.{inner}", one) for inner, one in value.items()]
        if isinstance(value, int) and _MOST >= value > 1000 and "layers" in str(name).rpartition(".")[2]:
            problems.append(f"{name} {value}: no model has so many")
    return problems


def kind_problems(
    configs: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, Mapping[str, Allowed]],
    scheduler: Mapping[str, Any],
    schedule_problems: Callable[[Mapping[str, Any]], list[str]],
) -> list[str]:
    """What is wrong with the configurations of parts (by `kinds`) and of a scheduler, each value by itself."""
    problems = []
    for part, config in configs.items():
        found = [*size_problems(config), *value_problems(config, kinds[part])]
        if config.get("quantization_config"):
            found.append("its weights are quantised (quantization_config); those of the whole model are needed")
        problems += [f"{part}/config.json: {problem}" for problem in dict.fromkeys(found)]
    found = [*size_problems(scheduler), *schedule_problems(scheduler)]
    return problems + [f"scheduler/scheduler_config.json: {problem}" for problem in dict.fromkeys(found)]


def shown(value: Any) -> str:
    """A value as far as people read it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

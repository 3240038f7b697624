"""What the training stages share: a schedule that follows the wall clock, and averaging of weights."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

DECAY_SHARE = 0.35  # the last part of a budget, in which the rates fall linearly to nothing


class Budget(Protocol):
    """How long a training lasts: a loop runs over `shares()`, the used part of it, from 0 to just under 1."""

    def shares(self) -> Iterator[float]:
        """One value a step."""
        ...


@dataclass(frozen=True)
class Steps:
    """A budget counted in steps: the same everywhere."""

    count: int

    def shares(self) -> Iterator[float]:
        """One value a step."""
        return (step / self.count for step in range(self.count))


@dataclass
class WallClock:
    """Progress by time instead of by steps: the same recipe fits machines of any speed, and the end is known."""

    seconds: float
    spent: float = 0.0
    """Seconds already used by an earlier, interrupted run."""
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds used, those of earlier runs included."""
        return self.spent + time.monotonic() - self.started

    def share(self) -> float:
        """The used share of the budget, 1 at its end."""
        return min(1.0, self.elapsed() / self.seconds)

    def shares(self) -> Iterator[float]:
        """One value a step."""
        while (share := self.share()) < 1:
            yield share


def rate_factor(share: float, warmup: float = 0.01) -> float:
    """Multiplier of the learning rate: short warm-up, constant, linear decay over the last DECAY_SHARE."""
    if share < warmup:
        return max(share / warmup, 0.02)
    return min(1.0, (1.0 - share) / DECAY_SHARE)


def set_rates(optimisers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to its initial value times a factor."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


class Average:
    """Exponential moving average of a module's weights, with a short memory while training is young."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's present weights."""
        self.updates += 1
        pace = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            average = self.weights[name]
            average.lerp_(value, pace) if value.is_floating_point() else average.copy_(value)


def optimiser_tensors(optimisers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The optimisers' state as flat named tensors, for safetensors."""
    return {
        f"optimiser.{i}.{index}.{key}": torch.as_tensor(value).clone()
        for i, optimiser in enumerate(optimisers)
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }


def restore_optimisers(optimisers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` gave."""
    for i, optimiser in enumerate(optimisers):
        state = optimiser.state_dict()
        for name, value in tensors.items():
            if name.startswith(f"optimiser.{i}."):
                _, _, index, key = name.split(".")
                state["state"].setdefault(int(index), {})[key] = value
        optimiser.load_state_dict(state)


def log(path: Path, line: str) -> None:
    """Print a line with the time, and append it to a log."""
    stamped = f"{time.strftime('%H:%M:%S')} {line}"
    print(stamped, flush=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(stamped + "\n")

"""Flow matching (arXiv 2210.02747): picture and noise are mixed along a straight line, whose direction is learnt."""

from __future__ import annotations

from typing import Any

import torch


def drawn_timesteps(scheduler: Any, count: int, generator: torch.Generator) -> torch.Tensor:
    """Timesteps (count), float32, evenly from the scheduler's table: most are noisy if its file shifts it."""
    table: torch.Tensor = scheduler.timesteps
    return table[torch.randint(len(table), (count,), generator=generator)]


def noised(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents at these timesteps, and the velocity there: (1 - sigma) x + sigma n, and n - x."""
    sigmas = (timesteps / scheduler.config.num_train_timesteps).view(-1, 1, 1, 1)
    return (1 - sigmas) * latents + sigmas * noise, noise - latents


class FlowWalk:
    """Euler's steps from noise to a picture, by as many evenly spread sigmas, which the scheduler shifts.

    `mu` says by how much, to one that has no shift of its own.
    """

    def __init__(self, scheduler: Any, steps: int, where: torch.device, mu: float | None = None) -> None:
        self._scheduler = scheduler
        scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist(), device=where, mu=mu)
        scheduler.set_begin_index(0)
        self.timesteps: torch.Tensor = scheduler.timesteps

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """The noise: all of it is there at first."""
        return noise

    def seen(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The latents as they are."""
        return latents

    def step(self, prediction: torch.Tensor, timestep: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The latents behind a step."""
        after: torch.Tensor = self._scheduler.step(prediction, timestep, latents).prev_sample
        return after

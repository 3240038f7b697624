"""How a base was taught to see noise, told from its scheduler's file; and the solver that draws, which is our own.

A base's file also holds what somebody once drew with: DEIS, Karras's sigmas, thresholding, stochastic solvers. None of
that describes the base, and taken over it would change pictures unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.families.config_values import Choice, Flag, Number, Numbers, Whole, value_problems

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
    from torch import Tensor, device

PREDICTION_TYPES = ("epsilon", "v_prediction")
_MOST_TIMESTEPS = 10_000
DESCRIBES_TRAINING: Mapping[str, Any] = {
    "num_train_timesteps": Whole(2, _MOST_TIMESTEPS),
    "beta_start": Number(0, 1),
    "beta_end": Number(0, 1),
    "beta_schedule": Choice("linear", "scaled_linear", "squaredcos_cap_v2"),
    "trained_betas": Numbers(0, 1, _MOST_TIMESTEPS),
    "prediction_type": Choice(*PREDICTION_TYPES),
    "rescale_betas_zero_snr": Flag(),
    "timestep_spacing": Choice("leading", "linspace", "trailing"),
    "steps_offset": Whole(0, 100),
}
"""What of a scheduler's file is read: the noise of each timestep, what the UNet predicts of it, and which timesteps
stand for the whole where only some are walked."""
_SOLVER: Mapping[str, Any] = {
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "lower_order_final": True,
    "final_sigmas_type": "zero",
}
"""DPM-Solver++(2M) of arXiv 2211.01095, as it draws for every base."""


def training_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a scheduler's file says of the base's training."""
    return {name: config[name] for name in DESCRIBES_TRAINING if config.get(name) not in (None, [])}


def schedule_problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a scheduler's file as far as it is read; each begins with the name of a value."""
    problems = value_problems(config, DESCRIBES_TRAINING)
    betas, timesteps = config.get("trained_betas"), config.get("num_train_timesteps", 1000)
    if betas and not problems and len(betas) != timesteps:
        problems.append(f"trained_betas has {len(betas)} entries for {timesteps} timesteps")
    return problems


def noise_scheduler(config: Mapping[str, Any]) -> DDPMScheduler:
    """What noises latents in training, by a checked scheduler's file."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(**training_schedule(config))


def solver_options(scheduler: DDPMScheduler) -> dict[str, Any]:
    """Arguments of diffusers' DPMSolverMultistepScheduler that draws what this project draws from such a base."""
    by_default = scheduler.config.get("_use_default_values", ())
    said = {name: value for name, value in scheduler.config.items() if name not in by_default}
    return training_schedule(said) | dict(_SOLVER)


def solver(scheduler: DDPMScheduler) -> DPMSolverMultistepScheduler:
    """What draws: DPM-Solver++ along the base's own noise."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(**solver_options(scheduler))


class SolverWalk:
    """DPM-Solver++ from noise to a picture."""

    def __init__(self, scheduler: DDPMScheduler, steps: int, where: device) -> None:
        self._solver = solver(scheduler)
        self._solver.set_timesteps(steps, device=where)
        self.timesteps: Tensor = self._solver.timesteps

    def start(self, noise: Tensor) -> Tensor:
        """Noise as strong as the first timestep has it."""
        begun: Tensor = noise * self._solver.init_noise_sigma
        return begun

    def seen(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """What the UNet is given of latents."""
        scaled: Tensor = self._solver.scale_model_input(latents, timestep)
        return scaled

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The latents behind a step."""
        after: Tensor = self._solver.step(prediction, timestep, latents).prev_sample
        return after

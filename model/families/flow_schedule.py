"""What of a flow-matching scheduler's file is read, without torch."""

from collections.abc import Mapping
from typing import Any

from model.families.config_values import Number, Whole, value_problems

CLASS = "FlowMatchEulerDiscreteScheduler"
_READ: Mapping[str, Any] = {"num_train_timesteps": Whole(2, 10_000), "shift": Number(0.01, 100)}
_BENDS = (
    "use_dynamic_shifting",
    "shift_terminal",
    "invert_sigmas",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "stochastic_sampling",
)
"""Other ways to spread noise over the steps; a base whose file asks for one was not trained along a fixed shift."""


def flow_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a checked scheduler's file says of the noise."""
    return {name: config[name] for name in _READ if config.get(name) is not None}


def flow_problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a scheduler's file as far as it is read; each begins with the name of a value."""
    if not config:
        return []
    problems = value_problems(config, _READ)
    if config.get("_class_name") != CLASS:
        problems.append(f"_class_name {config.get('_class_name')!r}: {CLASS} is needed")
    problems += [f"{name} {config[name]!r}: a fixed shift is needed" for name in _BENDS if config.get(name)]
    return problems

"""What of a flow-matching scheduler's file is read, without torch."""

from collections.abc import Mapping
from typing import Any

from model.families.config_values import Choice, Number, Whole, value_problems

CLASS = "FlowMatchEulerDiscreteScheduler"
_READ: Mapping[str, Any] = {"num_train_timesteps": Whole(2, 10_000), "shift": Number(0.01, 100)}
_DYNAMIC, _SHIFT_TYPE = "use_dynamic_shifting", "time_shift_type"
_READ_BY_SIZE: Mapping[str, Any] = {**_READ, _SHIFT_TYPE: Choice("exponential", "linear")}
_BENDS = (
    "shift_terminal",
    "invert_sigmas",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "stochastic_sampling",
)
"""Other ways to spread noise over the steps; a base whose file asks for one was not trained along this one."""


def flow_options(config: Mapping[str, Any], *, by_size: bool = False) -> dict[str, Any]:
    """What a checked scheduler's file says of the noise; `by_size` one whose shift follows the picture's size."""
    names = (*_READ_BY_SIZE, _DYNAMIC) if by_size else _READ
    return {name: config[name] for name in names if config.get(name) is not None}


def flow_problems(config: Mapping[str, Any], *, by_size: bool = False) -> list[str]:
    """What is wrong with a scheduler's file as far as it is read; each begins with the name of a value."""
    if not config:
        return []
    problems = value_problems(config, _READ_BY_SIZE if by_size else _READ)
    if config.get("_class_name") != CLASS:
        problems.append(f"_class_name {config.get('_class_name')!r}: {CLASS} is needed")
    wanted = "a shift by the picture's size" if by_size else "a fixed shift"
    bends = [name for name in _BENDS if config.get(name)]
    if bool(config.get(_DYNAMIC)) != by_size:
        bends.append(_DYNAMIC)
    return problems + [f"{name} {config.get(name)!r}: {wanted} is needed" for name in bends]

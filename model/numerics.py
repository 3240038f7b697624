"""Number formats and determinism, switched on for a while and put back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def autocast_to(autocast: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to `bfloat16` on the device, or nothing for `none` (see `model.device.numeric_policy`)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast == "bfloat16")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Inside, the same work on the same device gives bitwise the same numbers.

    An operation that has no such form on the device warns and runs all the same. `model.device.open_device` sets
    what cuBLAS needs for it.
    """
    if device.type != "cuda":
        yield  # torch's CPU kernels are deterministic as they are
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])

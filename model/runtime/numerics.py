"""Number formats and determinism, switched on for a while and put back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.utils.deterministic

from model.runtime.device import fix_cublas_workspace

_torch_memory: Any = torch.utils.deterministic  # its one switch is a property, which type checkers do not see


def autocast_to(autocast: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to `bfloat16` on the device, or nothing for `none` (see `model.runtime.device.numeric_policy`)."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast == "bfloat16")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Inside, the same work on the same device gives bitwise the same numbers.

    On CUDA an operation that has no such form raises RuntimeError. This follows torch's documentation and is not
    measured on a GPU. On MPS torch has no such switch, and two runs may differ in the last bits.
    """
    if device.type != "cuda":
        yield  # torch's CPU kernels are deterministic as they are
        return
    fix_cublas_workspace()
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills_before = _torch_memory.fill_uninitialized_memory
    # Not only warnings: where torch only warns, the backward pass of fused attention stays nondeterministic.
    torch.use_deterministic_algorithms(True, warn_only=False)
    _torch_memory.fill_uninitialized_memory = False  # it looks for errors in torch, and costs time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        _torch_memory.fill_uninitialized_memory = fills_before

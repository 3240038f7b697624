"""Tensors counted while they are alive: what a piece of work takes of memory, the same on every run."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_DEVICE: Any = torch.ops.prim.device.default


class AllocationCounter(TorchDispatchMode):
    """Inside, the bytes of all tensors that torch makes are counted until nobody holds them; fake tensors count too.

    What libraries take inside one operation is not seen, nor what an allocator keeps beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        """Bytes that are alive."""
        self.most = 0
        """The most that ever were at a time, since `restarted`."""
        self._alive: dict[int, int] = {}

    def add(self, tensors: Iterable[Any]) -> None:
        """Count what else `tensors` are; of what is counted views take nothing."""
        for tensor in tensors:
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            place = storage._cdata
            if place not in self._alive:
                self._alive[place] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, place)

    def restarted(self) -> int:
        """The most so far; from here on it is counted anew."""
        most, self.most = self.most, self.now
        return most

    def _gone(self, place: int) -> None:
        self.now -= self._alive.pop(place)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _DEVICE:  # asked of fake tensors more often than all else together
            return args[0].fake_device
        made = func(*args, **(kwargs or {}))
        self.add(made if isinstance(made, tuple | list) else (made,))
        return made

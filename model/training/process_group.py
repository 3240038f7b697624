"""The processes that share every step of one training, each on a device of its own, by Hugging Face accelerate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator


class ProcessGroup:
    """Processes that take the same steps at the same time; `ProcessGroup()` is a process of its own.

    Each draws all random numbers of a step, works on its share of the rows, and has the gradients averaged with the
    others' before it updates its own copy of what is trained. So the number of processes decides nothing but the order
    in which sums are taken.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.size: int = accelerator.num_processes if accelerator else 1
        self.rank: int = accelerator.process_index if accelerator else 0

    def share(self, rows: torch.Tensor) -> torch.Tensor:
        """This process's rows (batch / size, ...) of a batch (batch, ...)."""
        return rows if self.size == 1 else rows.tensor_split(self.size)[self.rank]

    @torch.no_grad()
    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self._accelerator and self.size > 1:
            for tensor in tensors:
                tensor.copy_(self._accelerator.reduce(tensor, "mean"))

    @contextmanager
    def first_one_first(self) -> Iterator[None]:
        """The first process goes through what is inside alone, then the others do."""
        if self._accelerator is None:
            yield
        else:
            with self._accelerator.main_process_first():
                yield

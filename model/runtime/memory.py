"""A device's memory: less of it used, and said with the setting that needs less where it does not suffice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from model.errors import WorkFailed


@contextmanager
def enough_memory(work: str, device: torch.device, setting: str, batch_size: int, also: str = "") -> Iterator[None]:
    """Inside, running out of the device's memory is a WorkFailed that names `work` and the way out.

    `setting` is what decides the batch size, such as `sampling.batch_size`, and `batch_size` its value; `also` is
    another setting that needs less.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        less = [f"{setting} below {batch_size}"] if batch_size > 1 else []
        less += [also] if also else []
        more = f"{setting} is 1 already, so choose a device with more memory, or cpu"
        way_out = f"{' or '.join(less)} needs less" if less else more
        raise WorkFailed(f"{work}: not enough memory on {device}; {way_out}") from error


@contextmanager
def enough_to_load(what: str, device: torch.device | str) -> Iterator[None]:
    """Inside, running out of the device's memory is a WorkFailed that begins with `what` and names the way out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise WorkFailed(
            f"{what} does not fit into what is free of the memory of {device}; let another device load it "
            "(CONCEPTBOOTH_DEVICE), such as cpu, or end what else uses this one"
        ) from error


@contextmanager
def recomputed_states(denoiser: Any, wanted: bool) -> Iterator[None]:
    """Inside, if `wanted`, a backward pass computes states inside the denoiser anew instead of keeping them."""
    if not wanted:
        yield
        return
    denoiser.enable_gradient_checkpointing()
    try:
        yield
    finally:
        denoiser.disable_gradient_checkpointing()

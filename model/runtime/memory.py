"""A device's memory: less of it used, and said with the setting that needs less where it does not suffice."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from model.errors import WorkFailed

_MEMORY = Path("/proc/meminfo")
_OWN = Path("/proc/self/statm")
_BOUND, _IN_USE = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def device_memory(kind: str) -> int | None:
    """Bytes that a training can have on a `cuda` or `cpu` device; None where that cannot be told.

    Of a GPU all its memory; of a machine what nobody else uses, within the bound of its container.
    """
    if kind == "cuda":
        return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
    if kind != "cpu" or not _MEMORY.exists():
        return None
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    bound = _BOUND.read_text(encoding="ascii").strip() if _BOUND.exists() else "max"
    if bound.isdecimal():
        free = min(free, int(bound) - int(_IN_USE.read_text(encoding="ascii")))
    return free + int(_OWN.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE


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

"""A device whose memory does not suffice: said with the setting that needs less."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.errors import WorkFailed


@contextmanager
def enough_memory(work: str, device: torch.device, setting: str, batch_size: int) -> Iterator[None]:
    """Inside, running out of the device's memory is a WorkFailed that names `work` and the way out.

    `setting` is what decides the batch size, such as `sampling.batch_size`, and `batch_size` its value.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        way_out = (
            f"{setting} below {batch_size} needs less"
            if batch_size > 1
            else f"{setting} is 1 already, so choose a device with more memory, or cpu"
        )
        raise WorkFailed(f"{work}: not enough memory on {device}; {way_out}") from error

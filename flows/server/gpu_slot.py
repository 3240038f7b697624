"""One training at a time on a GPU, whatever becomes of workers: the flow itself holds the GPU's slot on the server.

A worker runs one flow at a time, but when it is killed its training lives on, and the worker that is started again
would put a second one beside it. So the slot is held by the process that trains, by a lease: it blocks its GPU as long
as it lives, and is free about a minute after it was killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import WorkFailed

WORKER_VARIABLE = "WORKER_ID"
LEASE_SECONDS = 60


def slot_name(worker_id: str) -> str:
    """Name of the concurrency limit that stands for a worker's GPU."""
    return f"gpu-{worker_id}"


@contextmanager
def gpu_slot() -> Iterator[None]:
    """Hold the GPU of the worker that runs this flow, after waiting for it; where no worker runs it, hold nothing.

    Raises:
        WorkFailed: a worker that was not started by `conceptbooth worker` runs this, or the server has no such slot.
    """
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency
    from prefect.context import FlowRunContext
    from prefect.logging import get_run_logger

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        yield
        return
    worker_id = os.environ.get(WORKER_VARIABLE)
    if not worker_id:
        raise WorkFailed(
            f"{WORKER_VARIABLE} is not set, so it cannot be told which GPU this is: "
            "start workers of this pool with `conceptbooth worker --gpu N`"
        )
    name, log = slot_name(worker_id), get_run_logger()
    try:
        with concurrency(name, strict=True, lease_duration=LEASE_SECONDS):
            log.info("%s taken by process %s", name, os.getpid())
            try:
                yield
            finally:
                log.info("%s given back by process %s", name, os.getpid())
    except ConcurrencySlotAcquisitionError as error:
        said = f"slot {name} is not to be had ({error}); a worker that is started again makes it where it is missing"
        raise WorkFailed(said) from error

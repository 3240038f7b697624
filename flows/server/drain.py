"""Waiting until Prefect has sent what it gathers in the background: logs and events."""

import logging
from typing import Any


def drain_quietly(worker: Any, seconds: float) -> None:
    """Wait at most so long for an `EventsWorker` or `APILogWorker`; it is nobody's business how many items are left."""
    logging.getLogger(worker.__name__).setLevel(logging.ERROR)
    worker.drain_all(timeout=seconds)

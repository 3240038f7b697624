"""How a process that starts a flow hands it work that it has prepared: beside the flow's parameters, not among them.

Prefect encodes every parameter field by field (`prefect.flows.Flow.serialize_parameters`), stores that and shows it on
its pages. Of a prepared job that would be all settings with their addresses, and every image of the set. So parameters
are what a page should show, and all that a worker needs to prepare the same work itself; a process that has it prepared
already wraps its call of the flow into `handed_over`, and the flow asks `prepared` for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_work: ContextVar[object] = ContextVar("prepared_work", default=None)


@contextmanager
def handed_over(work: object) -> Iterator[None]:
    """A flow that is called inside does this work, and prepares nothing itself."""
    token = _work.set(work)
    try:
        yield
    finally:
        _work.reset(token)


def prepared(kind: type[T]) -> T | None:
    """The work of this class that was handed to the flow; None if nobody did, as on a worker.

    A flow never gets what was handed to the flow around it: each asks for a class of its own.
    """
    work = _work.get()
    return work if isinstance(work, kind) else None

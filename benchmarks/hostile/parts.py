"""What was tried and whether it held, and the parts that try."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One thing that was tried."""

    what: str
    held: bool
    said: str
    """What noticed it, or why it is harmless; what went wrong where it did not hold."""


PARTS: dict[str, str] = {
    "bytes": "benchmarks.hostile.changed_bytes",
}
"""Modules with a function `attempts` that yields what it tried, by the name of the part."""


def attempts_of(part: str) -> Iterator[Tried]:
    """Everything that a part tries."""
    attempts: Callable[[], Iterator[Tried]] = import_module(PARTS[part]).attempts
    return attempts()

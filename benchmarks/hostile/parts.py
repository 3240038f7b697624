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


_HOSTILE = "test_hostile_"
TESTED: dict[str, tuple[str, ...]] = {
    "pictures": (f"tests/tasks/pictures/{_HOSTILE}pictures.py",),
    "documents": (
        f"tests/model/reading/{_HOSTILE}documents.py",
        f"tests/tasks/store/{_HOSTILE}records.py",
        "tests/tasks/store/test_shapes.py",
    ),
    "bases": (f"tests/model/bases/{_HOSTILE}bases.py",),
    "names": (
        "tests/tasks/files/test_names.py",
        f"tests/tasks/concepts/{_HOSTILE}names.py",
        f"tests/tasks/verification/{_HOSTILE}releases.py",
    ),
}
"""By part the files in tests/ that hold its cases."""
PARTS = ("bytes", *TESTED, "requests", "kills")
_MODULES = {
    "bytes": "benchmarks.hostile.changed_bytes",
    "requests": "benchmarks.hostile.requests",
    "kills": "benchmarks.hostile.kills",
}
"""Modules with a function `attempts` that yields what it tried."""


def attempts_of(part: str) -> Iterator[Tried]:
    """Everything that a part tries."""
    if part in TESTED:
        from benchmarks.hostile.tested import attempts

        return attempts(TESTED[part])
    of_module: Callable[[], Iterator[Tried]] = import_module(_MODULES[part]).attempts
    return of_module()

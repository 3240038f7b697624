"""Figures of a lineage document in words, the same in the terminal and on the page."""

from collections.abc import Mapping
from typing import Any

SHORT = 12  # of the hex digits of a key


def size_words(size: int | None) -> str:
    """A number of bytes for people."""
    if size is None:
        return "size not recorded"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def git_words(git: Mapping[str, Any] | None) -> str:
    """A commit, and whether the files were as it has them."""
    if not git:
        return "outside git"
    return f"git {git['commit'][:SHORT]}{', with changes that are in no commit' if git['dirty'] else ''}"


def when_words(at: str) -> str:
    """A time for people: manifests and records have it in UTC, as ISO 8601."""
    return f"{at.removesuffix('+00:00').replace('T', ' ')} UTC" if at.endswith("+00:00") else at


def number(value: Any) -> str:
    """A parameter as people write it: 2e-6, 0.05."""
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def devices_compared(concept: Mapping[str, Any]) -> str:
    """Where a concept of an adoption's proof was made, before and anew."""
    old, new = concept["old_device"], concept["new_device"]
    return f"on {old}" if old == new else f"on {old} and {new}"

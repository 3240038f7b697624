"""Many names in one line."""

from collections.abc import Sequence

SHOWN = 6
"""Names that are written out; the others are counted."""


def some_names(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, and how many more there are; one more than `most` is written out too."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"

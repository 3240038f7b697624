"""How often a training keeps a checkpoint: by the clock, by steps, or never."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = re.compile(r"(?P<count>\d+) ?(?P<unit>s|seconds?|steps?)")


@dataclass(frozen=True, kw_only=True)
class CheckpointInterval:
    """Every so many seconds or every so many steps; never where both are None."""

    seconds: int | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, words: str) -> CheckpointInterval:
        """Read "60 seconds", "25 steps" or "never". Raises ValueError for anything else."""
        if words.strip().lower() == "never":
            return cls()
        match = _WORDS.fullmatch(words.strip().lower())
        if match is None or (count := int(match["count"])) < 1:
            raise ValueError("should be like '60 seconds', '25 steps' or 'never'")
        return cls(steps=count) if match["unit"].startswith("step") else cls(seconds=count)

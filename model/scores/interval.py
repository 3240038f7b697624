"""A mean and how far it can be trusted."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with the ends of its 95 % interval (`model.scores.bootstrap`)."""

    mean: float
    low: float | None
    high: float | None
    """None, both ends, where a single picture tells nothing of others."""

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"

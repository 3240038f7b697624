"""What the scores mean, in words for people who do not know the field's abbreviations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval; each a cosine, at most 1."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One score of a trained concept beside that of the untrained base, and what the two say."""

    name: str
    title: str
    meaning: str
    trained: Interval
    base: Interval

    @property
    def verdict(self) -> str:
        """How the trained model compares with the base; "clearly" only where the intervals do not overlap."""
        if self.trained.low > self.base.high:
            return "clearly above the untrained base"
        if self.trained.high < self.base.low:
            return "clearly below the untrained base"
        return "about the same as the untrained base"


def interval(score: Mapping[str, float]) -> Interval:
    """An interval from its JSON form ``{"mean", "low", "high"}``."""
    return Interval(mean=score["mean"], low=score["low"], high=score["high"])


def read_scores(scores: Mapping[str, Any]) -> tuple[Reading, Reading]:
    """CLIP-I and CLIP-T of a scores document (``scores.json``), ready to be shown."""
    return (
        Reading(
            name="CLIP-I",
            title="Looks like the concept",
            meaning="how much the new pictures look like the concept's own images; 1 is the most there can be",
            trained=interval(scores["clip_i"]),
            base=interval(scores["base_clip_i"]),
        ),
        Reading(
            name="CLIP-T",
            title="Follows the prompt",
            meaning="how well the new pictures show what the prompt says, the concept's own look left aside",
            trained=interval(scores["clip_t"]),
            base=interval(scores["base_clip_t"]),
        ),
    )

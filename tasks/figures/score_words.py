"""What the scores mean, in words for people who do not know the field's abbreviations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.scores.interval import Interval


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
        trained, base = self.trained, self.base
        if trained.low is None or trained.high is None or base.low is None or base.high is None:
            return "too few pictures to compare with the untrained base"
        if trained.low > base.high:
            return "clearly above the untrained base"
        if trained.high < base.low:
            return "clearly below the untrained base"
        return "about the same as the untrained base"


@dataclass(frozen=True, kw_only=True)
class ScoreVerdict:
    """Whether scores reach what a project's promotion policy asks of them."""

    passed: bool
    said: str
    """In words, with the scores that failed, or all that were asked for."""


def interval(score: Mapping[str, Any]) -> Interval:
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

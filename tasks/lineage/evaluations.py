"""Two evaluations compared prompt by prompt, and picture by picture where both began at the same noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.scores.interval import Interval
from tasks.figures.score_words import interval
from tasks.files.hashing import digest_of
from tasks.store.manifest import Manifest

COMPARED = ("clip_i", "clip_t")
"""The scores that every evaluation has."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a version is, and by what that was measured."""

    scores: Mapping[str, Interval]
    pictures: Mapping[str, Mapping[str, Sequence[float]]]
    """By score, then by prompt as it was written, with {}: the value of each picture."""
    seed: int | None
    """Picture i of a prompt begins at the same noise in every evaluation of this seed."""
    evaluator: str
    """Digest of the model that measured: only values of the same can be compared."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much higher a score is than another's."""

    interval: Interval
    over: str
    """What it was taken over, in words."""
    prompts: int
    """How many."""
    partial: bool
    """Whether one of the two has other prompts as well."""

    @property
    def clearly_lower(self) -> bool:
        """Whether the interval, or the only value there is, lies below zero."""
        highest = self.interval.mean if self.interval.high is None else self.interval.high
        return highest < 0

    @property
    def clearly_higher(self) -> bool:
        """Whether the interval, or the only value there is, lies above zero."""
        lowest = self.interval.mean if self.interval.low is None else self.interval.low
        return lowest > 0

    def __str__(self) -> str:
        mean, low, high = self.interval.mean, self.interval.low, self.interval.high
        ends = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
        return f"difference {mean:+.3f}{ends} over {self.over}"


def evaluation_of(manifest: Manifest, document: Mapping[str, Any]) -> Evaluation:
    """An evaluation from its manifest and its scores document (`scores.json`)."""
    prompts = manifest.parameters["prompts"]
    return Evaluation(
        scores={name: interval(document[name]) for name in COMPARED},
        pictures={
            name: {
                # An evaluation of before pictures were noted one by one has the mean of each prompt alone.
                prompt: scored.get("pictures", {}).get(name) or [scored[name]["mean"]]
                for prompt, scored in zip(prompts, document["prompts"], strict=True)
            }
            for name in COMPARED
        },
        seed=manifest.seed,
        evaluator=digest_of(document["evaluator"]),
    )


def difference(one: Evaluation, other: Evaluation, score: str, only: str | None = None) -> Difference | str:
    """How much higher a score of `one` is than of `other`, by a paired bootstrap; or why that cannot be said.

    Over the prompts that both drew, or over that one of them. Where seed and number of pictures are the same, each
    picture is paired with that of the other from the same noise; else the means of each prompt are.
    """
    from model.scores.bootstrap import bootstrap_interval

    if one.evaluator != other.evaluator:
        return "it was measured by another evaluator"
    mine, others = one.pictures[score], other.pictures[score]
    shared = [prompt for prompt in mine if prompt in others and only in (None, prompt)]
    if not shared:
        return "it was evaluated by other prompts, none of which both have"
    same_noise = one.seed == other.seed and all(len(mine[prompt]) == len(others[prompt]) for prompt in shared)
    pairs = [_paired(mine[prompt], others[prompt], same_noise=same_noise) for prompt in shared]
    partial = not len(mine) == len(others) == len(shared)
    over = f"{len(shared)} prompt{'s' if len(shared) > 1 else ''}"
    over = f"the {over} that both have (of {len(mine)} and {len(others)})" if partial else f"the same {over}"
    return Difference(
        interval=bootstrap_interval(pairs),
        over=over if same_noise else f"{over}, their pictures from other seeds",
        prompts=len(shared),
        partial=partial,
    )


def _paired(one: Sequence[float], other: Sequence[float], *, same_noise: bool) -> list[float]:
    if same_noise:
        return [a - b for a, b in zip(one, other, strict=True)]
    return [sum(one) / len(one) - sum(other) / len(other)]

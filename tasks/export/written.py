"""What a form of export says of itself once it is written, and what a concept is called where it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.registry.training_facts import TrainingFacts


@dataclass(frozen=True, kw_only=True)
class Written:
    """A written form, for the card and for the person at the terminal."""

    library: str
    usage: str
    """Markdown."""
    called: str | None = None
    """What prompts call the concept there; None where it is called as in the training."""
    lost: str | None = None
    """What the form leaves out, in a sentence."""
    scores: Mapping[str, Mapping[str, float]] | None = None
    """Of the whole model and of this form, where they were measured."""


def file_stem(record: TrainingFacts) -> str:
    """Name of its files in other programs, which is its word there: not the bare one, which prompts use too."""
    return f"cb-{record.concept.name}"


def called_elsewhere(word: str, record: TrainingFacts) -> str:
    """The word with its category, as prompts have it."""
    return f"{word} {record.concept.super_category}"

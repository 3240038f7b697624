"""What a comparison has made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.comparison.choice import ComparedTraining
from tasks.jobs.jobs import Job
from tasks.store.manifest import Manifest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ComparisonResults:
    """Jobs and what they left, by their trainings."""

    jobs: Mapping[ComparedTraining, Job]
    found: Mapping[ComparedTraining, Mapping[str, Manifest]]
    """By stage."""
    look_alikes: "Mapping[str, Tensor | None]"
    """By concept the embeddings (pictures, width) of what its pictures are ranked among; None where there are none."""

    base: "Mapping[str, Mapping[str, Tensor]]"
    """By concept the embeddings of what the untrained base drew (`tasks.stages.base_pictures`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the concepts."""
        return tuple(dict.fromkeys(training.concept for training in self.jobs))

    @property
    def methods(self) -> tuple[str, ...]:
        """Their labels."""
        return tuple(dict.fromkeys(training.method for training in self.jobs))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trainings."""
        return tuple(dict.fromkeys(training.seed for training in self.jobs))

    def first(self, name: str, method: str | None = None) -> ComparedTraining:
        """The concept's training of the first seed, and of the first method unless another is named."""
        return ComparedTraining(name, method or self.methods[0], self.seeds[0])

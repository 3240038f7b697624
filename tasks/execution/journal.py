"""What is written down of a training while it runs, for people who want to see how it goes. Who writes is decided
elsewhere; whatever fails there never ends the training."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.jobs.keys import StagePlan

if TYPE_CHECKING:
    from model.training.curve import Step


class StageJournal(Protocol):
    """Of one training stage."""

    def step(self, step: "Step") -> None:
        """A step is done."""

    def pictures(self, step: int, prompts: Sequence[str], files: Sequence[Path]) -> None:
        """What the model draws of these prompts after a step: one file each, which stay where they are."""


class Journal(Protocol):
    """Of one training from its first stage to its registration."""

    def begin(self) -> None:
        """Something has to be made; called again it changes nothing."""

    def stage(self, plan: StagePlan) -> AbstractContextManager[StageJournal]:
        """Inside, this stage trains."""


class NoJournal:
    """Nobody wants to see it."""

    def begin(self) -> None: ...

    @contextmanager
    def stage(self, plan: StagePlan) -> Iterator[StageJournal]:
        yield self

    def step(self, step: "Step") -> None: ...

    def pictures(self, step: int, prompts: Sequence[str], files: Sequence[Path]) -> None: ...

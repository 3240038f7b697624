"""When a training keeps a checkpoint, and what becomes of it when keeping one fails."""

import time
from collections.abc import Callable
from pathlib import Path

from model.training.checkpoint_files import Checkpoint, newest_checkpoint, place_of, prune, write_checkpoint
from model.training.checkpoint_interval import CheckpointInterval

_KEPT = 2
"""The newest, and the one before in case that is damaged."""
_LARGEST_SHARE = 0.02
"""Of the time, spent on checkpoints that come by the clock: those of a large model are further apart."""
_PARTING_SECONDS = 5.0
"""A training that is told to end may take this long for one last checkpoint."""
_DISK_BYTES_PER_SECOND = 500e6
"""Assumed as long as no checkpoint has been written."""


class Checkpoints:
    """The checkpoints of one training, in a folder of its own. What fails here never stops the training."""

    def __init__(self, folder: Path, *, identity: str, every: CheckpointInterval, warn: Callable[[str], None]) -> None:
        """`identity` says which training it is: the same one has the same settings, images and predecessor."""
        self.folder = folder
        self.identity = identity
        self.last: tuple[int, Path] | None = None
        """Step and place of the newest one."""
        self.every = every
        self.warn = warn
        self._warned = False
        self._cost: float | None = None  # seconds, of the newest
        self._since = time.monotonic()

    def restore(self) -> Checkpoint | None:
        """The newest checkpoint to go on from, or None. A damaged one is passed over with a warning."""
        try:
            checkpoint = newest_checkpoint(self.folder, self.identity, self.warn)
        except OSError as error:
            self.warn(f"checkpoints in {self.folder} cannot be read ({error}): the stage starts from its beginning")
            return None
        if checkpoint is not None:
            self.last = checkpoint.step, place_of(self.folder, checkpoint.step)
        self._since = time.monotonic()
        return checkpoint

    def due(self, step: int) -> bool:
        """Whether one is to be kept after this step."""
        if self.every.steps is not None:
            return step % self.every.steps == 0
        if self.every.seconds is None:
            return False
        wait = max(self.every.seconds, (self._cost or 0) / _LARGEST_SHARE)
        return time.monotonic() - self._since >= wait

    def parting(self, step: int, size: int) -> bool:
        """Whether one of `size` bytes is to be kept by a training that is stopped: new, and written soon enough."""
        cost = size / _DISK_BYTES_PER_SECOND if self._cost is None else self._cost
        newer = step > (self.last[0] if self.last else 0)
        return newer and self.every != CheckpointInterval() and cost < _PARTING_SECONDS

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove all but it and the one before; a failure is a warning, once."""
        started = time.monotonic()
        try:
            place = write_checkpoint(self.folder, checkpoint)
            prune(self.folder, _KEPT)
        except OSError as error:
            if not self._warned:
                self.warn(
                    f"no checkpoint could be kept at step {checkpoint.step} in {self.folder} ({error}); the training "
                    f"goes on without, {self.words()}"
                )
            self._warned = True
        else:
            self.last = checkpoint.step, place
            self._cost = time.monotonic() - started
        self._since = time.monotonic()

    def words(self) -> str:
        """What is left of the training if it ends now."""
        return (
            f"its last good checkpoint is that of step {self.last[0]} ({self.last[1]})"
            if self.last
            else "it has no checkpoint"
        )

"""At which steps of a training pictures are drawn that show how far it is: by themselves a few, or every so many."""

from __future__ import annotations

import re
from dataclasses import dataclass

from model.methods.method import Stage

_WORDS = re.compile(r"(?P<count>\d+) ?steps?")
_BY_ITSELF, _AT_MOST = 0.05, 0.5
"""Share of a stage's work that pictures take where nobody says how often, and where somebody does."""
_MOST_BY_ITSELF = 4
_OF_A_STEP = 3
"""A sample of a training step costs as much as three passes through the UNet: one forward, two backward. A picture's
decoding is taken for as much again."""


@dataclass(frozen=True, kw_only=True)
class PictureInterval:
    """Every so many steps; None for a few a stage, 0 for never."""

    steps: int | None = None

    @classmethod
    def parse(cls, words: str) -> PictureInterval:
        """Read "auto", "50 steps" or "never". Raises ValueError for anything else."""
        said = words.strip().lower()
        if said in ("auto", "never"):
            return cls(steps=None if said == "auto" else 0)
        match = _WORDS.fullmatch(said)
        if match is None or (count := int(match["count"])) < 1:
            raise ValueError("should be like 'auto', '50 steps' or 'never'")
        return cls(steps=count)

    def due(self, stage: Stage, *, prompts: int, num_inference_steps: int, guided: bool) -> frozenset[int]:
        """The steps of a stage, its last among them, after which one picture of each prompt is drawn.

        So many that they stay a small part of the stage's work; none where already one would be more.
        """
        if self.steps == 0 or prompts == 0:
            return frozenset()
        passes = prompts * (num_inference_steps * (2 if guided else 1) + _OF_A_STEP)
        in_steps = passes / (_OF_A_STEP * stage.batch_size)  # what one row of pictures costs, in training steps
        share = _BY_ITSELF if self.steps is None else _AT_MOST
        affordable = int(share * stage.max_train_steps / in_steps)
        wanted = _MOST_BY_ITSELF if self.steps is None else -(-stage.max_train_steps // self.steps)
        if self.steps is not None and wanted <= affordable:
            return frozenset({*range(self.steps, stage.max_train_steps, self.steps), stage.max_train_steps})
        count = min(wanted, affordable)
        return frozenset(max(1, round(stage.max_train_steps * number / count)) for number in range(1, count + 1))

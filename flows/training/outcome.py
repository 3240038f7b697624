"""What became of one concept: what was made, what was there already, how good it is, where to look, what went wrong."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.figures.score_words import ScoreVerdict

Fault = Literal["concept", "world"]
"""Who has to change for a training to go well: the concept's images and parameters, or the world around it."""


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """One task of a concept's flow."""

    name: str
    state: Literal["made", "cached"]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ConceptOutcome:
    """What became of one concept."""

    concept: str
    base: str
    """The base model as params.yaml names it."""
    tasks: tuple[TaskOutcome, ...] = ()
    seconds: float = 0.0
    scores: Mapping[str, Any] | None = None
    """The evaluation's scores.json."""
    model_name: str | None = None
    version: int | None = None
    version_created: bool = False
    verdict: ScoreVerdict | None = None
    """Those scores against the promotion policy; None where it asks for none, or cannot be read."""
    gallery_png: Path | None = None
    gallery_html: Path | None = None
    error: str | None = None
    """Why it failed; None if it did not."""
    fault: Fault | None = None
    """Whose fault that is: None if it did not fail."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

"""The figures of a training as it runs, gathered without making the device wait at every step."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from model.errors import WorkFailed
from model.methods.method import Stage

_POINT_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The training's figures at one step: means over the steps since the point before."""

    step: int
    loss: float
    """What is minimised: the mean squared error of the prediction plus the other losses."""
    attention_loss: float
    """The weighted attention-map term."""
    learning_rate: float
    grad_norm: float
    """Over all trained parameters, before clipping."""
    samples_per_second: float
    """Pictures of the concept."""
    prior_loss: float | None = None
    """The weighted loss on class images; None without prior preservation."""
    context_loss: float | None = None
    """CoRe's weighted terms together; None without them."""
    semantic_loss: float | None = None
    """ClassDiffusion's weighted term; None without it."""

    class_loss: float | None = None
    """The weighted distance of the class prompt's predictions from the base's; None where it is not kept."""
    pull_loss: float | None = None
    """The weighted distance of the parameters from the base's; None without a pull."""

    def written(self) -> dict[str, Any]:
        """The figures that the stage has, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Step(CurvePoint):
    """Told after every step: how far the stage is, with the figures of the newest curve point."""

    stage: str
    max_train_steps: int
    is_point: bool = False
    """Whether the curve has a point at this step."""


def term_names(stage: Stage) -> tuple[str, ...]:
    """Parts of a stage's loss that have a curve of their own."""
    terms = {
        "attention_loss": True,
        "prior_loss": stage.has_prior,
        "context_loss": stage.has_context,
        "semantic_loss": stage.semantic_weight != 0,
        "class_loss": stage.class_prediction_weight != 0,
        "pull_loss": stage.weight_pull != 0,
    }
    return tuple(name for name, there in terms.items() if there)


class Figures:
    """Sums figures on the device, and reads them where the curve has a point: step 1, every tenth, and the last."""

    def __init__(self, stage: Stage, device: torch.device, last_good: Callable[[], str]) -> None:
        """`last_good` says, for an error, what is left of the training from before its loss went wrong."""
        self.curve: list[CurvePoint] = []
        self._stage = stage
        self._last_good = last_good
        self._names = ("loss", "grad_norm", *term_names(stage))
        self._sums = torch.zeros(len(self._names), device=device)
        self._steps = 0
        self._since = time.monotonic()

    def add(self, step: int, *, loss: torch.Tensor, grad_norm: torch.Tensor, **terms: torch.Tensor) -> Step:
        """Count one finished step (the first is 1); `terms` are the parts of the loss that `term_names` says.

        Raises WorkFailed if the loss is no longer a number.
        """
        figures = {"loss": loss, "grad_norm": grad_norm, **terms}
        self._sums += torch.stack([figures[name].detach() for name in self._names])
        self._steps += 1
        is_point = step == 1 or step % _POINT_EVERY == 0 or step == self._stage.max_train_steps
        if is_point:
            self.curve.append(self._point(step))
        facts = asdict(self.curve[-1]) | {"step": step, "is_point": is_point}
        return Step(**facts, stage=self._stage.name, max_train_steps=self._stage.max_train_steps)

    def to_json(self) -> dict[str, Any]:
        """Everything that `resume` needs. Raises WorkFailed if the loss is no longer a number."""
        sums = self._read_sums(self.curve[-1].step + self._steps) if self._steps else [0.0] * len(self._names)
        return {
            "curve": [asdict(point) for point in self.curve],
            "sums": sums,
            "steps": self._steps,
            "seconds": time.monotonic() - self._since,
        }

    def resume(self, facts: Mapping[str, Any]) -> None:
        """Go on from what `to_json` has said."""
        self.curve = [CurvePoint(**point) for point in facts["curve"]]
        self._sums.copy_(torch.tensor(facts["sums"]))
        self._steps = facts["steps"]
        self._since = time.monotonic() - facts["seconds"]

    def _read_sums(self, step: int) -> list[float]:
        sums: list[float] = self._sums.tolist()  # waits for the device
        loss, grad_norm, *_ = sums
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise self.diverged(f"loss {loss}, gradient norm {grad_norm}", step)
        return sums

    def diverged(self, what: str, step: int) -> WorkFailed:
        """The error of a training that has gone wrong at `step`, or shortly before."""
        return WorkFailed(
            f"stage '{self._stage.name}': {what} by step {step}; {self._last_good()}; a learning rate below "
            f"{self._stage.learning_rate:g} may help"
        )

    def _point(self, step: int) -> CurvePoint:
        sums = self._read_sums(step)
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        point = CurvePoint(
            step=step,
            learning_rate=self._stage.learning_rate,
            samples_per_second=self._steps * self._stage.batch_size / seconds,
            **{name: value / self._steps for name, value in zip(self._names, sums, strict=True)},
        )
        self._sums.zero_()
        self._steps, self._since = 0, now
        return point

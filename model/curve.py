"""The figures of a training as it runs, gathered without making the device wait at every step."""

import math
import time
from dataclasses import asdict, dataclass

import torch

from model.errors import WorkFailed
from model.method import Stage

_POINT_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The training's figures at one step: means over the steps since the point before."""

    step: int
    loss: float
    """What is minimised: the mean squared error of the prediction plus `attention_loss`."""
    attention_loss: float
    """The weighted attention-map term."""
    learning_rate: float
    grad_norm: float
    """Over all trained parameters, before clipping."""
    samples_per_second: float


@dataclass(frozen=True, kw_only=True)
class Step(CurvePoint):
    """Told after every step: how far the stage is, with the figures of the newest curve point."""

    stage: str
    max_train_steps: int


class Figures:
    """Sums figures on the device, and reads them where the curve has a point: step 1, every tenth, and the last."""

    def __init__(self, stage: Stage, device: torch.device, curve: list[CurvePoint]) -> None:
        self.curve = curve
        self._stage = stage
        self._sums = torch.zeros(3, device=device)  # loss, attention loss, gradient norm
        self._steps = 0
        self._since = time.monotonic()

    def add(self, step: int, loss: torch.Tensor, attention_loss: torch.Tensor, grad_norm: torch.Tensor) -> Step:
        """Count one finished step (the first is 1). Raises WorkFailed if the loss is no longer a number."""
        self._sums += torch.stack([loss.detach(), attention_loss.detach(), grad_norm.detach()])
        self._steps += 1
        if step == 1 or step % _POINT_EVERY == 0 or step == self._stage.max_train_steps:
            self.curve.append(self._point(step))
        facts = asdict(self.curve[-1]) | {"step": step}
        return Step(**facts, stage=self._stage.name, max_train_steps=self._stage.max_train_steps)

    def _point(self, step: int) -> CurvePoint:
        loss, attention_loss, grad_norm = (self._sums / self._steps).tolist()  # waits for the device
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise WorkFailed(
                f"stage '{self._stage.name}': loss {loss}, gradient norm {grad_norm} by step {step}; a learning rate "
                f"below {self._stage.learning_rate:g} may help"
            )
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        point = CurvePoint(
            step=step,
            loss=loss,
            attention_loss=attention_loss,
            learning_rate=self._stage.learning_rate,
            grad_norm=grad_norm,
            samples_per_second=self._steps * self._stage.batch_size / seconds,
        )
        self._sums.zero_()
        self._steps, self._since = 0, now
        return point

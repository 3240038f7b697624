"""Fronts, not points: what a method trades of the prompt for the concept as its last stage gets longer.

A comparison that sweeps the steps of the last stage has several trainings of each method. Their means of identity and
text are a curve, and methods are compared where their curves have the same identity: a method that merely trains for
longer gains nothing then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.scores.bootstrap import resampled_means
from model.scores.interval import Interval
from tasks.comparison.table import SEEDS_AXIS, MethodTable

IDENTITY, TEXT = "identity", "text"


@dataclass(frozen=True, kw_only=True)
class Fronts:
    """The curves of a comparison with a sweep."""

    table: MethodTable

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that were swept, without the steps."""
        return tuple(dict.fromkeys(method for method, _ in self.table.sweep.values()))

    def labels(self, method: str) -> list[str]:
        """The trainings of a method, by their steps."""
        own = [label for label, (swept, _) in self.table.sweep.items() if swept == method]
        return sorted(own, key=lambda label: self.table.sweep[label][1])

    @cached_property
    def _resampled(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
        """By method the means of identity and text, both (points, resamples), the same draws for all methods."""
        return {
            method: tuple(  # type: ignore[misc]
                np.stack(
                    [
                        resampled_means(self.table.values(label, score), own=(SEEDS_AXIS,))
                        for label in self.labels(method)
                    ]
                )
                for score in (IDENTITY, TEXT)
            )
            for method in self.methods
        }

    def means(self, method: str, score: str) -> np.ndarray:
        """(points): of one score along the sweep."""
        return np.array([self.table.values(label, score).mean() for label in self.labels(method)])

    @cached_property
    def common_identity(self) -> tuple[float, float] | None:
        """The identities that every curve passes; None where they have none in common."""
        curves = [self.means(method, IDENTITY) for method in self.methods]
        low, high = max(curve.min() for curve in curves), min(curve.max() for curve in curves)
        return (float(low), float(high)) if low <= high else None

    def text_at(self, method: str, identity: float) -> Interval:
        """Text where the method's curve has this identity, with its 95 % interval."""
        mean = _interpolated(self.means(method, IDENTITY), self.means(method, TEXT), identity)
        return _with_ends(mean, self._texts(method, identity))

    def band(self, method: str, identity: float) -> tuple[float, float]:
        """The ends of that interval."""
        low, high = np.percentile(self._texts(method, identity), [2.5, 97.5])
        return float(low), float(high)

    def difference_at(self, method: str, first: str, identity: float) -> Interval:
        """How much more text than `first` at the same identity, resample by resample."""
        mean = self.text_at(method, identity).mean - self.text_at(first, identity).mean
        return _with_ends(mean, self._texts(method, identity) - self._texts(first, identity))

    def _texts(self, method: str, identity: float) -> np.ndarray:
        identities, texts = self._resampled[method]
        return np.array([_interpolated(x, y, identity) for x, y in zip(identities.T, texts.T, strict=True)])


def _interpolated(identities: np.ndarray, texts: np.ndarray, identity: float) -> float:
    """Text at an identity along the straight lines between points; beyond the last point, that point's."""
    order = np.argsort(identities)
    return float(np.interp(identity, identities[order], texts[order]))


def _with_ends(mean: float, resampled: np.ndarray) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(mean=mean, low=float(low), high=float(high))

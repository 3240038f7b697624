"""How far a mean over prompts and pictures can be trusted: the bootstrap, level by level."""

import math

import numpy as np
from numpy.typing import ArrayLike

from model.scores.interval import Interval

_RESAMPLES = 2000
_DRAWN_AT_A_TIME = 2_000_000
_SEED = 0


def bootstrap_interval(values: ArrayLike) -> Interval:
    """Mean of values (prompts, pictures), or (concepts, prompts, pictures), and its 95 % bootstrap interval.

    Percentiles of the means of 2,000 resamples, level by level: prompts are drawn anew, and for each of them pictures
    among its own (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). So the interval
    says what other seeds and other prompts of this kind would give; it is rather a little wide than too narrow. Of n
    things of a level n - 1 are drawn, without which few would seem more certain than they are (Rao and Wu, 1988).
    Where a level has a single thing the others alone tell, and a single value tells nothing: the interval has no ends
    then. Of paired values, a difference for each picture, it is the interval of the difference.
    """
    rows = _sorted(np.asarray(values, dtype=np.float64))
    mean = float(rows.mean())
    if rows.size == 1:
        return Interval(mean=mean, low=None, high=None)
    rng = np.random.default_rng(_SEED)
    drawn = [max(1, size - 1) for size in rows.shape]
    at_a_time = max(1, _DRAWN_AT_A_TIME // math.prod(drawn))
    means = []
    for start in range(0, _RESAMPLES, at_a_time):
        resamples = min(at_a_time, _RESAMPLES - start)
        # (resamples, prompts, 1) and (resamples, prompts, pictures): each level is drawn for each draw of the one above
        chosen = tuple(
            rng.integers(size, size=(resamples, *drawn[: level + 1], *[1] * (rows.ndim - level - 1)))
            for level, size in enumerate(rows.shape)
        )
        means.append(rows[chosen].reshape(resamples, -1).mean(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(mean=mean, low=float(low), high=float(high))


def _sorted(values: np.ndarray) -> np.ndarray:
    """Every level in order, so that the same values in another order draw the same resamples."""
    if values.ndim == 1:
        return np.sort(values)
    rows = [_sorted(row) for row in values]
    return np.array(sorted(rows, key=lambda row: row.ravel().tolist()))

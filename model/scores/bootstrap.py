"""How far a mean over concepts, prompts and pictures can be trusted: the bootstrap, of one training and of several."""

import math
from collections.abc import Collection

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
    rows = _sorted_by_value(np.asarray(values, dtype=np.float64))
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


def crossed_interval(values: ArrayLike, *, own: Collection[int] = ()) -> Interval:
    """Mean of values such as (concepts, seeds, prompts, pictures), and its 95 % bootstrap interval.

    Percentiles of the means of 2,000 resamples. All concepts have the same prompts, and pictures of one number begin at
    the same noise, so a resample draws one set of concepts, one of prompts and one of numbers for all (the pigeonhole
    bootstrap for crossed factors, Owen, Annals of Applied Statistics 2007): were prompts drawn anew for each concept, a
    hard one would average out that in truth is hard for all, and the interval come out too narrow. Dimensions that are
    a matter of each thing above them stand in `own`, such as seeds of trainings: they are drawn anew for each.

    So the interval says what other concepts, prompts and seeds of this kind would give. Of n things n - 1 are drawn,
    without which few would seem more certain than they are (Rao and Wu, 1988). Where there is a single thing of a kind
    the others alone tell, and a single value tells nothing: the interval has no ends then. Of paired values, a
    difference for each picture, it is the interval of the difference.
    """
    rows = _sorted(np.asarray(values, dtype=np.float64), own)
    mean = float(np.sort(rows, axis=None).mean())  # to the last bit the same in any order
    if rows.size == 1:
        return Interval(mean=mean, low=None, high=None)
    low, high = np.percentile(resampled_means(rows, own=own), [2.5, 97.5])
    return Interval(mean=mean, low=float(low), high=float(high))


def resampled_means(rows: np.ndarray, *, own: Collection[int] = ()) -> np.ndarray:
    """The means of 2,000 resamples of values, drawn as `crossed_interval` says.

    Arrays of one shape are drawn from alike, so that functions of several of them can be compared resample by resample.
    """
    rng = np.random.default_rng(_SEED)
    drawn = [max(1, size - 1) for size in rows.shape]
    at_a_time = max(1, _DRAWN_AT_A_TIME // math.prod(drawn))
    means = []
    for start in range(0, _RESAMPLES, at_a_time):
        resamples = min(at_a_time, _RESAMPLES - start)
        chosen = tuple(
            rng.integers(size, size=(resamples, *_shape_of_draw(drawn, level, level in own)))
            for level, size in enumerate(rows.shape)
        )
        means.append(rows[chosen].reshape(resamples, -1).mean(axis=1))
    return np.concatenate(means)


def _shape_of_draw(drawn: list[int], level: int, own: bool) -> list[int]:
    """Of one resample: one set for all, (1, 1, prompts, 1), or one for each thing above, (concepts, seeds, 1, 1)."""
    above = drawn[:level] if own else [1] * level
    return [*above, drawn[level], *[1] * (len(drawn) - level - 1)]


def _sorted(values: np.ndarray, own: Collection[int]) -> np.ndarray:
    """Every dimension in the order of its means, so that the same values in another order draw the same resamples."""
    rows = values
    for level in range(rows.ndim):
        others = tuple(axis for axis in range(level + 1 if level in own else 0, rows.ndim) if axis != level)
        order = np.argsort(rows.mean(axis=others, keepdims=True), axis=level, kind="stable")
        rows = np.take_along_axis(rows, order, axis=level)
    return rows


def _sorted_by_value(values: np.ndarray) -> np.ndarray:
    """Every level in order, so that the same values in another order draw the same resamples."""
    if values.ndim == 1:
        return np.sort(values)
    rows = [_sorted_by_value(row) for row in values]
    return np.array(sorted(rows, key=lambda row: row.ravel().tolist()))

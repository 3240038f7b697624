"""The plane of identity and text alignment: who gains one by losing the other moves along the falling line."""

from pathlib import Path
from typing import Any

import numpy as np

from model.scores.interval import Interval
from tasks.comparison.table import MEANINGS, TITLES, MethodTable

_BY_IDENTITY = ("dino", "clip_i")
_MARKERS = "os^Dvphd*X"


def draw_plane(table: MethodTable, file: Path) -> None:
    """A point with both 95 % intervals for each method, as a PNG."""
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    identity = next(score for score in _BY_IDENTITY if score in table.scores)
    figure = Figure(figsize=(9.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(table.methods):
        x, y = table.mean(method, "clip_t"), table.mean(method, identity)
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=_ends(x),
            yerr=_ends(y),
            fmt=_MARKERS[number % len(_MARKERS)],
            capsize=3,
            label=method,
            color=f"C{number}",
        )
    _draw_products(axes)
    axes.set_xlabel(f"{TITLES['clip_t']}: {MEANINGS['clip_t']}")
    axes.set_ylabel(f"{TITLES[identity]}: {MEANINGS[identity]}")
    axes.set_title(f"{table.over}; means with 95 % intervals", fontsize="medium")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(file, dpi=150)


def _draw_products(axes: Any) -> None:
    """Lines on which identity x text is the same: a method that only moves along one has gained nothing."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x, y = np.meshgrid(np.linspace(left, right, 100), np.linspace(low, high, 100))
    lines = axes.contour(x, y, x * y, levels=6, colors="grey", linewidths=0.6, alpha=0.6)
    axes.clabel(lines, fontsize="x-small")


def _ends(interval: Interval) -> list[list[float]] | None:
    if interval.low is None or interval.high is None:
        return None
    return [[max(0.0, interval.mean - interval.low)], [max(0.0, interval.high - interval.mean)]]

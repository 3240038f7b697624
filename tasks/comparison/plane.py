"""The plane of identity and text alignment: who gains one by losing the other moves along the falling line."""

from pathlib import Path
from typing import Any

import numpy as np

from model.scores.interval import Interval
from tasks.comparison.fronts import IDENTITY, TEXT, Fronts
from tasks.comparison.table import MEANINGS, TITLES, MethodTable

_BY_IDENTITY = ("dino", "clip_i")
_MARKERS = "os^Dvphd*X"


def draw_plane(table: MethodTable, file: Path) -> None:
    """A point with both 95 % intervals for each method, as a PNG; of a sweep each method's curve with its band."""
    if table.sweep:
        _draw_fronts(Fronts(table=table), file)
        return
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


def _draw_fronts(fronts: Fronts, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(fronts.methods):
        identity, text = fronts.means(method, IDENTITY), fronts.means(method, TEXT)
        color = f"C{number}"
        axes.plot(text, identity, marker=_MARKERS[number % len(_MARKERS)], color=color, label=method)
        for x, y, label in zip(text, identity, fronts.labels(method), strict=True):
            steps = fronts.table.sweep[label][1]
            axes.annotate(str(steps), (x, y), (4, 4), textcoords="offset points", fontsize="x-small", color=color)
        levels = np.linspace(identity.min(), identity.max(), 25)
        bands = np.array([fronts.band(method, level) for level in levels])  # (levels, low and high)
        axes.fill_betweenx(levels, bands[:, 0], bands[:, 1], color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel(f"{TITLES[TEXT]}: {MEANINGS[TEXT]}", fontsize="small")
    axes.set_ylabel(f"{TITLES[IDENTITY]}: {MEANINGS[IDENTITY]}", fontsize="x-small")
    axes.set_title(f"{fronts.table.over}; beside each point its last stage's steps; 95 % bands", fontsize="medium")
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

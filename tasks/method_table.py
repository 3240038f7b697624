"""Methods side by side: what each scores on the same concepts, prompts and seeds, and how it differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.bootstrap import bootstrap_interval
from model.interval import Interval

TITLES = {
    "clip_i": "CLIP-I",
    "dino": "DINO",
    "identity_rank": "identity rank",
    "clip_t": "CLIP-T",
    "retrieval": "retrieval",
}
"""The scores as a table shows them: likeness first, then the prompt."""
MEANINGS = {
    "clip_i": "likeness to the concept's images, by CLIP",
    "dino": "likeness to the concept's images, by the identity model",
    "identity_rank": "whether the concept's images come before those of its look-alikes (mean average precision)",
    "clip_t": "how well the prompt is followed, by CLIP",
    "retrieval": "share of pictures nearest to their own prompt of all prompts",
}
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one method has made of one concept."""

    concept: str
    method: str
    evaluation: str
    """Key of the stage whose artefact holds the pictures."""
    weights: str
    """sha256 of the concept's weights."""
    values: Mapping[str, Sequence[Sequence[float]]]
    """By score, for each prompt, of each picture in the order of the pictures' numbers."""


@dataclass(frozen=True, kw_only=True)
class MethodTable:
    """All cells of a comparison, and what comes of them."""

    concepts: tuple[str, ...]
    methods: tuple[str, ...]
    """The others are compared with the first."""
    prompts: tuple[str, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> tuple[str, ...]:
        """Those that at least one concept has, in the table's order."""
        return tuple(name for name in TITLES if any(name in cell.values for cell in self.cells))

    def values(self, method: str, score: str) -> np.ndarray:
        """(concepts, prompts, pictures), of the concepts that have this score."""
        cells = {cell.concept: cell for cell in self.cells if cell.method == method}
        having = [cells[concept].values for concept in self.concepts if score in cells[concept].values]
        return np.array([values[score] for values in having])

    def mean(self, method: str, score: str) -> Interval:
        """With its 95 % bootstrap interval over concepts, prompts and pictures."""
        return bootstrap_interval(self.values(method, score))

    def difference(self, method: str, score: str) -> Interval:
        """How much higher than the first method's, picture by picture from the same noise."""
        return bootstrap_interval(self.values(method, score) - self.values(self.methods[0], score))

    def to_json(self) -> dict[str, Any]:
        """All of it, down to the value of each picture."""
        return {
            "schema": SCHEMA,
            "concepts": list(self.concepts),
            "methods": [
                {
                    "method": method,
                    "scores": {score: asdict(self.mean(method, score)) for score in self.scores},
                    "difference_to_first": {score: asdict(self.difference(method, score)) for score in self.scores}
                    if method != self.methods[0]
                    else None,
                }
                for method in self.methods
            ],
            "prompts": list(self.prompts),
            "cells": [asdict(cell) for cell in self.cells],
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """For a page or a document."""
        titles = [TITLES[score] for score in self.scores]
        rows = [["method", *titles], ["---"] * (len(titles) + 1)]
        rows += [[method, *(str(self.mean(method, score)) for score in self.scores)] for method in self.methods]
        for method in self.methods[1:]:
            differences = [signed(self.difference(method, score)) for score in self.scores]
            rows.append([f"{method} - {self.methods[0]}", *differences])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def signed(interval: Interval) -> str:
    """A difference with its sign."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.3f}"
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"

"""Methods side by side: what each scores on the same concepts, prompts and seeds, and how it differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from model.scores.bootstrap import crossed_interval
from model.scores.interval import Interval

TITLES = {
    "clip_i": "CLIP-I",
    "dino": "DINO",
    "identity_rank": "identity rank",
    "clip_t": "CLIP-T",
    "retrieval": "retrieval",
    "leakage": "leakage",
    "identity": "identity",
    "text": "text",
    "identity_x_text": "identity x text",
}
"""The scores as a table shows them: likeness first, then the prompt, then both between their measured ends."""
MEANINGS = {
    "clip_i": "likeness to the concept's images, by CLIP",
    "dino": "likeness to the concept's images, by the identity model",
    "identity_rank": "whether the concept's images come before those of its look-alikes (mean average precision)",
    "clip_t": "how well the prompt is followed, by CLIP",
    "retrieval": "share of pictures nearest to their own prompt of all prompts",
    "leakage": "share of pictures that show a scene of the concept's images where the prompt names another",
    "identity": "DINO (with no identity model CLIP-I) from the untrained base's, 0, to the concept's own images', 1",
    "text": "CLIP-T from that to other prompts, 0, to the untrained base's, 1",
    "identity_x_text": "product of each picture's identity and text, each held to 0 to 1; 0 if it leaks; it decides",
}
SCHEMA = 4
SEEDS_AXIS = 1
"""Of the values of all cells: seeds of trainings are each concept's own."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one method has made of one concept from one seed."""

    concept: str
    method: str
    seed: int
    """Of the training."""
    evaluation: str
    """Key of the stage whose artefact holds the pictures."""
    weights: str
    """sha256 of the concept's weights."""
    values: Mapping[str, Sequence[Sequence[float]]]
    """By score, for each prompt, of each picture in the order of the pictures' numbers."""

    def mean(self, score: str) -> float:
        """Over all its pictures."""
        return float(np.mean(self.values[score]))


@dataclass(frozen=True, kw_only=True)
class MethodTable:
    """All cells of a comparison, and what comes of them."""

    concepts: tuple[str, ...]
    methods: tuple[str, ...]
    """The others are compared with the first."""
    seeds: tuple[int, ...]
    """Of the trainings."""
    prompts: tuple[str, ...]
    cells: tuple[Cell, ...]
    base: Mapping[str, float] = field(default_factory=dict)
    """Means of the untrained base over all concepts, by score: what a method starts from."""
    notes: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By prompt what it asks for beyond the concept, such as style."""
    sweep: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Of a comparison that sweeps the last stage's steps: by method's label the method without them, and the steps."""

    @property
    def aspects(self) -> dict[str, list[int]]:
        """The places of the prompts with each tag, of tags that some prompts have and some have not."""
        tags = dict.fromkeys(tag for prompt in self.prompts for tag in self.tags.get(prompt, ()))
        having = {tag: [n for n, prompt in enumerate(self.prompts) if tag in self.tags.get(prompt, ())] for tag in tags}
        return {tag: places for tag, places in having.items() if len(places) < len(self.prompts)}

    @property
    def scores(self) -> tuple[str, ...]:
        """Those that at least one concept has, in the table's order."""
        return tuple(name for name in TITLES if any(name in cell.values for cell in self.cells))

    @property
    def pictures(self) -> int:
        """Of each prompt in each training."""
        return len(self.cells[0].values["clip_t"][0])

    @property
    def over(self) -> str:
        """What the means are over, in words."""
        counts = (len(self.concepts), "concept"), (len(self.seeds), "training seed"), (len(self.prompts), "prompt")
        return ", ".join(f"{count} {thing}{'' if count == 1 else 's'}" for count, thing in counts)

    def values(self, method: str, score: str) -> np.ndarray:
        """(concepts, seeds, prompts, pictures), of the concepts that have this score."""
        cells = {(cell.concept, cell.seed): cell for cell in self.cells if cell.method == method}
        having = [concept for concept in self.concepts if score in cells[concept, self.seeds[0]].values]
        return np.array([[cells[concept, seed].values[score] for seed in self.seeds] for concept in having])

    def mean(self, method: str, score: str) -> Interval:
        """With its 95 % bootstrap interval, over concepts, their seeds, and the prompts and pictures of all."""
        return self._means[method, score]

    def difference(self, method: str, score: str) -> Interval:
        """How much higher than the first method's, picture by picture from the same seed and noise."""
        return self._differences[method, score]

    def mean_of(self, aspect: str, method: str, score: str) -> Interval:
        """Over the prompts of one aspect alone."""
        return _interval(self.values(method, score)[:, :, self.aspects[aspect]])

    def difference_of(self, aspect: str, method: str, score: str) -> Interval:
        """How much higher than the first method's over the prompts of one aspect alone."""
        return _interval(self._apart(method, score)[:, :, self.aspects[aspect]])

    def _apart(self, method: str, score: str) -> np.ndarray:
        return self.values(method, score) - self.values(self.methods[0], score)

    @cached_property
    def _means(self) -> dict[tuple[str, str], Interval]:
        return {
            (method, score): _interval(self.values(method, score)) for method in self.methods for score in self.scores
        }

    @cached_property
    def _differences(self) -> dict[tuple[str, str], Interval]:
        return {
            (method, score): _interval(self._apart(method, score)) for method in self.methods for score in self.scores
        }

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
            "seeds": list(self.seeds),
            "prompts": list(self.prompts),
            "tags": {prompt: list(tags) for prompt, tags in self.tags.items()},
            "sweep": {label: {"method": method, "steps": steps} for label, (method, steps) in self.sweep.items()},
            "cells": [asdict(cell) for cell in self.cells],
            "base": dict(self.base),
            "notes": list(self.notes),
        }

    @property
    def base_words(self) -> str:
        """The untrained base's means in a sentence."""
        means = ", ".join(f"{TITLES[score]} {self.base[score]:.2f}" for score in self.scores if score in self.base)
        return f"The untrained base, asked for the plain category: {means}"

    def to_markdown(self) -> str:
        """Means, and below them how much higher each is than the first method's, for a page or a document."""
        means = [[method, *(str(self.mean(method, score)) for score in self.scores)] for method in self.methods]
        differences = [
            [f"{method} - {self.methods[0]}", *(signed(self.difference(method, score)) for score in self.scores)]
            for method in self.methods[1:]
        ]
        titles = [TITLES[score] for score in self.scores]
        tables = [markdown_table(["method", *titles], means)]
        if differences:
            tables.append(markdown_table(["difference", *titles], differences))
        return "\n".join(tables)


def _interval(values: np.ndarray) -> Interval:
    """Of values (concepts, seeds, prompts, pictures): seeds are each concept's own, the rest is the same for all."""
    return crossed_interval(values, own=(SEEDS_AXIS,))


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; columns of figures alone stand on the right."""
    right = [all(row[place][:1] in "+-0123456789" for row in rows) for place in range(len(titles))]
    lines = [titles, ["--:" if figures else "---" for figures in right], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def signed(interval: Interval) -> str:
    """A difference with its sign."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.3f}"
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"

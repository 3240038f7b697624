"""Curves of methods whose last stage was trained for more and fewer steps, with known answers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError
from tasks.comparison.choice import MethodChoice, sweep_of, swept
from tasks.comparison.fronts import Fronts
from tasks.comparison.plane import draw_plane
from tasks.comparison.table import Cell, MethodTable

CONCEPTS = ("dog", "pot", "toy")
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.02, size=(3, 4, 2))  # concepts, prompts, pictures: of all methods alike
# Identity and text of each method's points. At the same identity the second has 0.1 more text.
CURVES = {"first": {20: (0.2, 0.9), 40: (0.4, 0.7), 80: (0.6, 0.5)}, "second": {20: (0.3, 0.9), 40: (0.5, 0.7)}}


@pytest.fixture
def table() -> MethodTable:
    labels = {f"{method}@{steps}": point for method, points in CURVES.items() for steps, point in points.items()}
    cells = [
        Cell(
            concept=concept,
            method=label,
            seed=0,
            evaluation="e",
            weights="w",
            values={"identity": (identity + NOISE[n]).tolist(), "text": (text + NOISE[n]).tolist()},
        )
        for n, concept in enumerate(CONCEPTS)
        for label, (identity, text) in labels.items()
    ]
    return MethodTable(
        concepts=CONCEPTS,
        methods=tuple(labels),
        seeds=(0,),
        prompts=("a", "b", "c", "d"),
        cells=tuple(cells),
        sweep=sweep_of(list(labels)),
    )


def test_methods_are_compared_where_they_have_the_same_identity(table: MethodTable) -> None:
    fronts = Fronts(table=table)
    assert fronts.methods == ("first", "second")
    shift = NOISE.mean()
    assert fronts.common_identity == pytest.approx((0.3 + shift, 0.5 + shift))
    level = 0.4 + shift
    assert fronts.text_at("first", level).mean == pytest.approx(0.7 + shift)
    difference = fronts.difference_at("second", "first", level)
    # The noise moves both along lines of slope -1, so every resample has the same difference.
    assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1), abs=1e-9)
    assert fronts.text_at("first", level).high - fronts.text_at("first", level).low > 0.01


def test_curves_without_a_common_identity_are_not_compared(table: MethodTable) -> None:
    cells = tuple(
        cell
        if cell.method.startswith("first")
        else Cell(**{**vars(cell), "values": {**cell.values, "identity": (2 + NOISE[0]).tolist()}})
        for cell in table.cells
    )
    assert Fronts(table=MethodTable(**{**vars(table), "cells": cells})).common_identity is None


def test_the_plane_shows_curves(table: MethodTable, tmp_path: Path) -> None:
    draw_plane(table, tmp_path / "plane.png")
    with Image.open(tmp_path / "plane.png") as image:
        assert image.width > 800
        colours = {colour for _, colour in image.convert("RGB").getcolors(image.width * image.height)}
        assert {(31, 119, 180), (255, 127, 14)} <= colours, "a line of each method"


def test_a_sweep_changes_the_steps_of_the_last_stage_alone() -> None:
    choice = MethodChoice(
        method="attndreambooth", preset="toyworld", label="attndreambooth", stages={"unet": {"learning_rate": 1e-4}}
    )
    short, long = swept([choice], [20, 80])
    assert (short.label, short.stages) == (
        "attndreambooth@20",
        {"unet": {"learning_rate": 1e-4, "max_train_steps": 20}},
    )
    assert long.stages == {"unet": {"learning_rate": 1e-4, "max_train_steps": 80}}
    assert choice.stages == {"unet": {"learning_rate": 1e-4}}, "what was given stays"


@pytest.mark.parametrize(
    ("steps", "said"), [([20], "at least two points"), ([20, 20, 40], "asked for twice"), ([0, 20], "is at least 1")]
)
def test_sweeps_that_are_none_are_refused(steps, said) -> None:
    choice = MethodChoice(method="attndreambooth", preset="toyworld", label="attndreambooth")
    with pytest.raises(InputError, match=said):
        swept([choice], steps)

"""Tuning grids: what is tried is data, and every method gets the same number of tries."""

from pathlib import Path

import pytest
import yaml

from model.errors import InputError
from model.methods.presets import METHODS, get_method
from tasks.comparison.tuning_grid import Grid, load_grid, samples, words
from toyworld.experiment import CHECKOUT, REPORTED, TUNING

GRID = {"concepts": ["dog"], "seeds": [0], "images_per_prompt": 2}


def write(folder: Path, **methods: object) -> Path:
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({**GRID, "methods": methods}))
    return file


def grid_of(name: str) -> Grid:
    return load_grid(CHECKOUT / "toyworld" / f"{name}.yaml")


@pytest.mark.parametrize("name", ["tuning", "tuning-start", "options"])
def test_the_grids_of_the_embedded_world_leave_alone_what_is_reported(name: str) -> None:
    grid = grid_of(name)
    assert set(grid.concepts) <= set(TUNING) and not set(grid.concepts) & set(REPORTED)


def test_the_budgets_of_the_embedded_world_are_equal() -> None:
    methods, start = grid_of("tuning"), grid_of("tuning-start")
    assert set(methods.methods) == {"attndreambooth", "textual_inversion", "dreambooth"}
    assert set(start.methods) == {"attndreambooth_rare_token"}
    assert {len(tried.tries) for grid in (methods, start) for tried in grid.methods.values()} == {12}
    for setting in ("concepts", "seeds", "images_per_prompt"):
        assert getattr(methods, setting) == getattr(start, setting)


@pytest.mark.parametrize("name", ["tuning", "tuning-start"])
def test_the_presets_are_among_what_was_tried(name: str) -> None:
    for method, tried in grid_of(name).methods.items():
        assert METHODS[method][tried.preset] in [get_method(method, tried.preset, changes) for changes in tried.tries]


def test_a_try_is_a_change_to_the_preset(tmp_path: Path) -> None:
    file = write(tmp_path, dreambooth={"preset": "toyworld", "tries": [{}, {"unet": {"max_train_steps": 10}}]})
    plain, changed = load_grid(file).choices
    assert (plain.label, changed.label) == ("dreambooth.1", "dreambooth.2")
    assert samples(plain) > samples(changed) == 80
    assert (words(plain.stages), words(changed.stages)) == ("the preset", "unet.max_train_steps 10")


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        dreambooth={"preset": "toyworld", "tries": [{}, {}, {"unet": {"learning_rate": 7.0}}]},
        dreamboth={"preset": "toyworld", "tries": [{}]},
        textual_inversion={"preset": "toyworld", "tries": [{"unet": {"max_train_steps": 1}}]},
    )
    with pytest.raises(InputError) as caught:
        load_grid(file)
    said = "\n".join(caught.value.problems)
    for part in (
        "dreambooth.3: unet.learning_rate = 7.0",
        "dreamboth.1: method 'dreamboth': unknown",
        "textual_inversion.1: stage 'unet': method 'textual_inversion' has embedding",
        "dreambooth.2: stands twice",
        "different numbers of tries (dreambooth 3, dreamboth 1, textual_inversion 1)",
    ):
        assert part in said


def test_a_file_that_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_grid(tmp_path / "nowhere.yaml")
    file = write(tmp_path, dreambooth={"preset": "toyworld", "tries": []})
    file.write_text(file.read_text() + "concept: [dog]\n")
    with pytest.raises(InputError) as caught:
        load_grid(file)
    said = "\n".join(caught.value.problems)
    assert "methods.dreambooth.tries" in said and "concept is unknown; did you mean concepts?" in said

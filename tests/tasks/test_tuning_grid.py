"""Tuning grids: what is tried is data, and every method gets the same number of tries."""

from pathlib import Path

import pytest
import yaml

from model.errors import InputError
from model.methods import METHODS, get_method
from tasks.tuning_grid import load_grid, samples, words
from toyworld.experiment import CHECKOUT, REPORTED, TUNING

GRID = {"concepts": ["dog"], "seeds": [0], "images_per_prompt": 2}


def write(folder: Path, **methods: object) -> Path:
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({**GRID, "methods": methods}))
    return file


def test_the_grid_of_the_embedded_world_is_fair() -> None:
    grid = load_grid(CHECKOUT / "toyworld" / "tuning.yaml")
    assert set(grid.concepts) <= set(TUNING) and not set(grid.concepts) & set(REPORTED)
    assert len({len(tried.tries) for tried in grid.methods.values()}) == 1
    assert set(grid.methods) == {"attndreambooth", "textual_inversion", "dreambooth"}


def test_the_presets_are_among_what_was_tried() -> None:
    grid = load_grid(CHECKOUT / "toyworld" / "tuning.yaml")
    for name, tried in grid.methods.items():
        assert METHODS[name][tried.preset] in [get_method(name, tried.preset, changes) for changes in tried.tries]


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

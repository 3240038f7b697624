"""The table of a comparison, with known answers."""

import dataclasses

import numpy as np
import pytest
import torch

from model.scores.bootstrap import crossed_interval
from tasks.comparison.cells import rescaled_scores
from tasks.comparison.table import Cell, MethodTable, signed

CONCEPTS, SEEDS, PROMPTS, PICTURES = ("dog", "pot", "toy"), (0, 7), ("a {}", "b {}"), 4
RNG = np.random.default_rng(0)
HARD = RNG.normal(0.5, 0.2, size=(3, 1, 1, 1)) + RNG.normal(0, 0.05, size=(3, 2, 2, PICTURES))


def cell(concept: str, method: str, seed: int, step: float, *, ranked: bool = True) -> Cell:
    values = {"clip_i": (HARD[CONCEPTS.index(concept), SEEDS.index(seed)] + step).tolist()}
    if ranked:
        values["identity_rank"] = np.full((2, 4), 0.5 + step).tolist()
    return Cell(concept=concept, method=method, seed=seed, evaluation="e", weights="w", values=values)


@pytest.fixture
def table() -> MethodTable:
    cells = [
        cell(concept, method, seed, step, ranked=concept != "toy")
        for concept in CONCEPTS
        for seed in reversed(SEEDS)
        for method, step in (("first", 0.0), ("second", -0.01))
    ]
    return MethodTable(concepts=CONCEPTS, methods=("first", "second"), seeds=SEEDS, prompts=PROMPTS, cells=tuple(cells))


def test_means_are_over_concepts_seeds_prompts_and_pictures(table: MethodTable) -> None:
    assert table.mean("first", "clip_i") == crossed_interval(HARD, own=(1,))
    assert table.mean("second", "clip_i").mean == pytest.approx(HARD.mean() - 0.01)
    assert table.mean("first", "clip_i").high - table.mean("first", "clip_i").low > 0.1, "concepts differ"


def test_differences_are_paired(table: MethodTable) -> None:
    """The step is constant, so its interval has no width, though the concepts differ twenty times as much."""
    found = table.difference("second", "clip_i")
    assert (found.mean, found.low, found.high) == pytest.approx((-0.01, -0.01, -0.01))
    assert signed(found) == "-0.010 [-0.010, -0.010]"


def test_a_score_is_over_the_concepts_that_have_it(table: MethodTable) -> None:
    assert table.values("first", "identity_rank").shape == (2, 2, 2, 4)
    assert table.scores == ("clip_i", "identity_rank")


def test_an_aspect_is_over_its_own_prompts(table: MethodTable) -> None:
    tagged = dataclasses.replace(table, tags={"a {}": ("all", "style"), "b {}": ("all",)})
    assert tagged.aspects == {"style": [0]}, "what all prompts ask for tells nothing apart"
    assert tagged.mean_of("style", "first", "clip_i") == crossed_interval(HARD[:, :, :1], own=(1,))
    assert tagged.difference_of("style", "second", "clip_i").mean == pytest.approx(-0.01)
    assert table.aspects == {}


def test_json_traces_every_figure_to_its_pictures(table: MethodTable) -> None:
    content = table.to_json()
    first = content["methods"][0]
    of_first = [each["values"]["clip_i"] for each in content["cells"] if each["method"] == "first"]
    assert np.mean(of_first) == pytest.approx(first["scores"]["clip_i"]["mean"])
    assert first["difference_to_first"] is None
    assert content["methods"][1]["difference_to_first"]["clip_i"]["mean"] == pytest.approx(-0.01)


def test_markdown(table: MethodTable) -> None:
    means, differences = table.to_markdown().split("\n\n")
    assert means.splitlines()[:2] == ["| method | CLIP-I | identity rank |", "| --- | --: | --: |"]
    assert differences.splitlines()[-1].startswith("| second - first | -0.010 [-0.010, -0.010] | -0.010 ")
    assert table.over == "3 concepts, 2 training seeds, 2 prompts"


def test_a_picture_must_be_the_concept_and_follow_its_prompt() -> None:
    """Neither makes up for the other: the untrained base and a pasted image both score nothing."""
    concept, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    prompts = torch.eye(2)
    tensors = {
        "identity_instance": torch.stack([concept, concept]),
        "identity_base": other.expand(2, 1, 2),  # the base draws something else, and follows both prompts
        "clip_base": prompts[:, None],
        "clip_text": prompts,
        # Of each prompt: the concept as asked; as the base draws it; the concept in the other prompt's scene.
        "identity_generated": torch.stack([concept, other, concept]).expand(2, 3, 2),
        "clip_generated": torch.stack([prompts, prompts, prompts.flip(0)], dim=1),
    }
    found = rescaled_scores(tensors, "identity")
    assert found["identity"] == [[1.0, 0.0, 1.0]] * 2
    assert found["text"] == [[1.0, 1.0, 0.0]] * 2
    assert found["identity_x_text"] == [[1.0, 0.0, 0.0]] * 2

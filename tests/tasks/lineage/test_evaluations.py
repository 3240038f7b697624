"""Comparing two evaluations: pairs are found by prompt and noise, and what both share takes no part."""

from dataclasses import replace

import numpy as np
import pytest

from model.scores.interval import Interval
from tasks.lineage.evaluations import Evaluation, difference

PROMPTS = [f"a photo of a {{}} in scene {number}" for number in range(12)]
SOMEWHERE = Interval(mean=0.5, low=0.4, high=0.6)


def evaluation(values, prompts=PROMPTS, **facts) -> Evaluation:
    """One whose pictures have these values (prompts, pictures)."""
    pictures = {prompt: list(row) for prompt, row in zip(prompts, values, strict=True)}
    usual = {"scores": {"clip_i": SOMEWHERE}, "pictures": {"clip_i": pictures}, "seed": 0, "evaluator": "clip"}
    return Evaluation(**{**usual, **facts})


@pytest.fixture
def hard_and_easy():
    """Prompts differ far more than two versions do."""
    rng = np.random.default_rng(0)
    return rng.normal(0.6, 0.2, size=(12, 1)) + rng.normal(0, 0.1, size=(12, 4))


def test_what_both_share_takes_no_part(hard_and_easy):
    """A constant step below is seen, though the scores of a version vary a hundred times as much."""
    found = difference(evaluation(hard_and_easy - 0.002), evaluation(hard_and_easy), "clip_i")
    assert found.interval.mean == pytest.approx(-0.002)
    assert found.interval.low == pytest.approx(-0.002) and found.interval.high == pytest.approx(-0.002)
    assert found.clearly_lower and not found.clearly_higher
    assert str(found) == "difference -0.002 [-0.002, -0.002] over the same 12 prompts"


def test_the_interval_is_that_of_the_differences(hard_and_easy):
    """A normal difference for each prompt, the same for its pictures: known standard error."""
    own = np.random.default_rng(1).normal(0.01, 0.02, size=(12, 1))
    found = difference(evaluation(hard_and_easy + own), evaluation(hard_and_easy), "clip_i")
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(1.96 * own.std(ddof=1) / np.sqrt(12), rel=0.15)
    assert found.interval.mean == pytest.approx(own.mean())


def test_pairs_are_found_by_the_prompt_and_not_by_its_place(hard_and_easy):
    back_to_front = evaluation(hard_and_easy[::-1], PROMPTS[::-1])
    found = difference(evaluation(hard_and_easy), back_to_front, "clip_i")
    assert (found.interval.low, found.interval.high) == (0, 0)
    assert not found.clearly_lower and not found.clearly_higher


@pytest.mark.parametrize("other", [{"seed": 1}, {"pictures": 3}])
def test_pictures_of_other_noise_are_compared_prompt_by_prompt(hard_and_easy, other):
    champion = evaluation(hard_and_easy[:, : other.get("pictures", 4)], seed=other.get("seed", 0))
    shuffled = evaluation(hard_and_easy[:, ::-1])
    found = difference(shuffled, champion, "clip_i")
    assert "the same 12 prompts, their pictures from other seeds" in str(found)
    if "seed" in other:  # the same pictures in another order: the means are the same
        assert found.interval.low == pytest.approx(0) and found.interval.high == pytest.approx(0)


def test_other_prompts_are_left_out_and_it_is_said(hard_and_easy):
    champion = evaluation(hard_and_easy[:5] + 1, PROMPTS[:5])
    found = difference(evaluation(hard_and_easy), champion, "clip_i")
    assert found.interval.mean == pytest.approx(-1)
    assert (found.prompts, found.partial) == (5, True)
    assert str(found).endswith("over the 5 prompts that both have (of 12 and 5)")
    only = difference(evaluation(hard_and_easy), champion, "clip_i", only=PROMPTS[2])
    assert (only.prompts, only.interval.mean) == (1, pytest.approx(-1))


def test_what_cannot_be_compared_says_why(hard_and_easy):
    one = evaluation(hard_and_easy)
    assert difference(one, replace(one, evaluator="another"), "clip_i") == "it was measured by another evaluator"
    others = evaluation(hard_and_easy, [f"{prompt}!" for prompt in PROMPTS])
    assert "other prompts" in difference(one, others, "clip_i")


def test_one_picture_has_no_interval_and_allows_for_nothing():
    found = difference(evaluation([[0.4]], PROMPTS[:1]), evaluation([[0.41]], PROMPTS[:1]), "clip_i")
    assert found.interval.low is None and found.clearly_lower
    assert str(found) == "difference -0.010 over the same 1 prompt"

import numpy as np
import pytest

from model.scores import bootstrap
from model.scores.bootstrap import bootstrap_interval, crossed_interval
from model.scores.interval import Interval


@pytest.mark.parametrize("shape", [(60, 40), (500, 2)])
def test_the_interval_holds_what_prompts_and_pictures_vary(shape):
    rng = np.random.default_rng(0)
    of_prompts = rng.normal(0.7, 0.3, size=(shape[0], 1))
    values = of_prompts + rng.normal(0, 0.1, size=shape)
    interval = bootstrap_interval(values)
    of_prompt_means = values.mean(axis=1).var(ddof=1) / shape[0]
    half = 1.96 * np.sqrt(of_prompt_means + values.var(axis=1, ddof=1).mean() / values.size)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)


def test_a_single_picture_tells_no_interval():
    for values in (np.array([0.3]), np.array([[0.3]])):
        assert bootstrap_interval(values) == Interval(mean=0.3, low=None, high=None)


def test_one_picture_a_prompt_tells_by_its_prompts():
    values = np.random.default_rng(0).normal(0.7, 0.1, size=(100, 1))
    interval = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 10
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_one_prompt_tells_by_its_pictures():
    values = np.random.default_rng(0).normal(0.7, 0.1, size=100)
    interval = bootstrap_interval(values)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * values.std(ddof=1) / 10, rel=0.1)


def test_intervals_do_not_depend_on_how_many_resamples_are_drawn_at_a_time_but_by_chance(monkeypatch):
    values = np.random.default_rng(0).normal(0.7, 0.1, size=(8, 5))
    whole = bootstrap_interval(values)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_A_TIME", 1000)
    assert bootstrap_interval(values).low == pytest.approx(whole.low, abs=0.01)


def test_a_third_level_is_drawn_too():
    """Concepts that differ widen the interval, however many prompts and pictures each has."""
    rng = np.random.default_rng(0)
    of_concepts = rng.normal(0.7, 0.1, size=(40, 1, 1))
    values = of_concepts + rng.normal(0, 0.01, size=(40, 6, 3))
    interval = bootstrap_interval(values)
    half = 1.96 * values.mean(axis=(1, 2)).std(ddof=1) / np.sqrt(40)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)
    assert bootstrap_interval(values[::-1, ::-1, ::-1]) == interval, "in any order"
    assert bootstrap_interval(values[:1]) == bootstrap_interval(values[0]), "one concept tells by its prompts"


@pytest.mark.parametrize("differences", [False, True])
def test_intervals_hold_the_truth_as_often_as_they_say(differences):
    """Simulated comparisons whose truth is known: what concepts, prompts and numbers have in common counts once."""
    rng, tries, held = np.random.default_rng(0), 300, 0
    # Standard deviations as the embedded base's comparisons show them; differences of two methods have less in common.
    concept, prompt, both, seed, number, rest = (
        (0.03, 0.02, 0.05, 0.02, 0.01, 0.05) if differences else (0.06, 0.08, 0.08, 0.02, 0.02, 0.07)
    )
    for _ in range(tries):
        values = (
            rng.normal(0, concept, (12, 1, 1, 1))
            + rng.normal(0, prompt, (1, 1, 10, 1))
            + rng.normal(0, both, (12, 1, 10, 1))
            + rng.normal(0, seed, (12, 2, 1, 1))
            + rng.normal(0, number, (1, 1, 1, 8))
            + rng.normal(0, rest, (12, 2, 10, 8))
        )
        interval = crossed_interval(values, own=(1,))
        held += interval.low <= 0 <= interval.high
    assert 0.92 <= held / tries <= 0.98

"""What a summary ends in: whether scores are enough for a release, by the minimums of mlflow/promotion.yaml.

A promotion asks for more (tasks/promotion/gates.py), among others that the champion is not clearly better.
"""

from collections.abc import Mapping

from model.errors import InputError
from tasks.figures.score_words import ScoreVerdict
from tasks.project.settings import Settings
from tasks.promotion.policy import CALLED, Policy, load_policy


def score_verdict(policy: Policy, scores: Mapping[str, float]) -> ScoreVerdict | None:
    """Mean scores by name, such as ``clip_i``, against the minimums; None where the policy has none."""
    if not policy.minimum:
        return None
    told = {name: f"{CALLED[name]} {_figure(scores[name], x)}, at least {x:g}" for name, x in policy.minimum.items()}
    failed = [told[name] for name, least in policy.minimum.items() if scores[name] < least]
    if failed:
        return ScoreVerdict(passed=False, said=f"would not be released: {'; '.join(failed)}")
    return ScoreVerdict(passed=True, said=f"good enough to be released by its scores: {'; '.join(told.values())}")


def _figure(score: float, least: float) -> str:
    """Two digits, or as many more as show that the score is short of the minimum."""
    return f"{score:.2f}" if (round(score, 2) >= least) == (score >= least) else f"{score:.4f}"


def project_policy(settings: Settings) -> Policy | None:
    """The project's policy for a summary, which ends without a verdict where it cannot be read; others tell why."""
    try:
        return load_policy(settings)
    except InputError:
        return None

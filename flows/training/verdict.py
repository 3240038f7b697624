"""Trainings' scores held against the project's promotion policy, which a summary ends in and a gallery begins with."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flows.training.outcome import ConceptOutcome
from tasks.figures.score_words import ScoreVerdict
from tasks.project.settings import Settings
from tasks.promotion.score_verdict import project_policy, score_verdict


def judge_of(settings: Settings) -> Callable[[Mapping[str, Any]], ScoreVerdict | None]:
    """What the policy says of a scores document (``scores.json``); None where it asks nothing or cannot be read."""
    policy = project_policy(settings)

    def judge(scores: Mapping[str, Any]) -> ScoreVerdict | None:
        return (
            None if policy is None else score_verdict(policy, {name: scores[name]["mean"] for name in policy.minimum})
        )

    return judge


def judged(settings: Settings, outcomes: Iterable[ConceptOutcome]) -> list[ConceptOutcome]:
    """The outcomes, those that have scores with a verdict."""
    judge = judge_of(settings)
    return [
        dataclasses.replace(outcome, verdict=judge(outcome.scores)) if outcome.scores is not None else outcome
        for outcome in outcomes
    ]

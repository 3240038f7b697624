"""Trainings' scores held against the project's promotion policy, which a summary ends in."""

import dataclasses
from collections.abc import Iterable

from flows.training.outcome import ConceptOutcome
from tasks.project.settings import Settings
from tasks.promotion.score_verdict import project_policy, score_verdict


def judged(settings: Settings, outcomes: Iterable[ConceptOutcome]) -> list[ConceptOutcome]:
    """The outcomes, those that have scores with a verdict."""
    policy = project_policy(settings)

    def verdict_of(outcome: ConceptOutcome) -> ConceptOutcome:
        if policy is None or outcome.scores is None:
            return outcome
        means: dict[str, float] = {name: outcome.scores[name]["mean"] for name in policy.minimum}
        return dataclasses.replace(outcome, verdict=score_verdict(policy, means))

    return [verdict_of(outcome) for outcome in outcomes]

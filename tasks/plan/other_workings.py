"""Whether a training differs from its plan by the code and libraries that made it, and by nothing else."""

import json
from collections.abc import Mapping
from typing import Any

from tasks.jobs.adoptions import workings_digest
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.plan.last_training import LastTraining

_BESIDE_WORKINGS = ("parameters", "models", "seed", "numeric_policy")


def other_workings_alone(job: Job, trained: LastTraining) -> bool:
    """True where the keys differ, and would not if the same code and libraries were here that made it."""
    done = stages_as_done(trained)
    if done.keys() != {plan.stage for plan in job.stages}:
        return False
    pairs = [(plan, done[plan.stage]) for plan in job.stages]
    return any(not same_workings(*pair) for pair in pairs) and not any(differs_otherwise(*pair) for pair in pairs)


def stages_as_done(trained: LastTraining) -> dict[str, StagePlan]:
    """The stages of a training with what went into their keys, by name; empty where its record does not tell."""
    try:
        done = {each.stage: StagePlan(stage=each.stage, **trained.facts[each.stage]) for each in trained.stages}
    except (KeyError, TypeError):
        return {}
    return done if all(done[each.stage].key == each.key for each in trained.stages) else {}


def differs_otherwise(plan: StagePlan, done: StagePlan) -> bool:
    """Whether anything but the workings differs, the workings of what was read included."""
    mine, theirs = plan.reads, done.reads
    if mine.keys() != theirs.keys() or mine.get("image_set") != theirs.get("image_set"):
        return True
    return any(_json(getattr(plan, name)) != _json(getattr(done, name)) for name in _BESIDE_WORKINGS)


def same_workings(plan: StagePlan, done: StagePlan) -> bool:
    """Whether the same code and libraries make both."""
    return workings_digest(plan.code, plan.packages) == workings_digest(done.code, done.packages)


def _json(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, sort_keys=True, default=dict)

"""The Prefect task that registers a training: remembered by content, tried again while MLflow does not answer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from prefect import task

from tasks.execution.stage_context import Receipt, StageContext
from tasks.execution.stage_task import TASK
from tasks.files.hashing import digest_of
from tasks.registry.registration import RegisteredVersion, confirm, register
from tasks.registry.training_facts import content_key_of
from tasks.tracking.address import shown
from tasks.tracking.client import TrackingUnreachable


def register_once(context: StageContext, inputs: Sequence[Any]) -> tuple[RegisteredVersion, bool]:
    """Register a training inside a flow; also says whether Prefect remembered that it was.

    `inputs` are what the tasks of all its stages returned, or their states. What Prefect remembers is compared with the
    registry: a version that is gone or damaged is made again, with a warning. Raises as
    `tasks.registry.registration.register`.
    """
    state = register_training(context, inputs, return_state=True)
    version = RegisteredVersion(**state.result())
    if state.name == "Cached":
        try:
            problem = confirm(context.job.settings, version)
        except TrackingUnreachable as error:
            problem = str(error)
        if problem is None:
            return replace(version, created=False, redrawn=False, repaired=None), True
        context.warn(f"{problem}; registering again")
        version = RegisteredVersion(**register_training.with_options(refresh_cache=True)(context, inputs))
    elif version.repaired:
        context.warn(f"version {version.version} of {version.name} was damaged and is whole again: {version.repaired}")
    return version, False


def _cache_key(_context: Any, parameters: Mapping[str, Any]) -> str:
    """Not the content alone: another registry does not have it, and its gallery may be redrawn."""
    context: StageContext = parameters["context"]
    keys = {receipt["stage"]: receipt["key"] for receipt in parameters["inputs"]}
    place = digest_of(shown(context.job.settings))[:16]
    return f"register/{context.job.concept.name}/{content_key_of(keys)}/{keys['gallery']}/{place}"


@task(name="register", task_run_name="register", **(TASK | {"cache_key_fn": _cache_key}))
def register_training(context: StageContext, inputs: Sequence[Receipt]) -> dict[str, Any]:
    """One registration; returns the fields of a RegisteredVersion."""
    return asdict(register(context.job.settings, context.job.concept, context.read(inputs)))

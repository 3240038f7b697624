"""The Prefect task that registers a training: remembered by content, tried again while MLflow does not answer."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from prefect import task

from tasks.execution.caching import TASK, Bench
from tasks.files.hashing import digest_of
from tasks.registry.registration import RegisteredVersion, confirm, register
from tasks.registry.training_facts import content_key
from tasks.tracking.address import shown
from tasks.tracking.client import TrackingUnreachable


def register_once(bench: Bench) -> tuple[RegisteredVersion, bool]:
    """Register the training on the bench, inside a flow; also says whether Prefect remembered that it was.

    What Prefect remembers is compared with the registry: a version that is gone or damaged is made again, with a
    warning. Raises as `tasks.registry.registration.register`.
    """
    state = register_training(bench, return_state=True)
    version = RegisteredVersion(**state.result())
    if state.name == "Cached":
        try:
            problem = confirm(bench.job.settings, version)
        except TrackingUnreachable as error:
            problem = str(error)
        if problem is None:
            return replace(version, created=False, redrawn=False, repaired=None), True
        bench.warn(f"{problem}; registering again")
        version = RegisteredVersion(**register_training.with_options(refresh_cache=True)(bench))
    elif version.repaired:
        bench.warn(f"version {version.version} of {version.name} was damaged and is whole again: {version.repaired}")
    return version, False


def _cache_key(_context: Any, parameters: Mapping[str, Any]) -> str:
    """Not the content alone: another registry does not have it, and its gallery may be redrawn."""
    bench: Bench = parameters["bench"]
    place = digest_of(shown(bench.job.settings))[:16]
    gallery = bench.manifests["gallery"].key
    return f"register/{bench.job.concept.name}/{content_key(bench.manifests)}/{gallery}/{place}"


@task(name="register", task_run_name="register", **(TASK | {"cache_key_fn": _cache_key}))
def register_training(bench: Bench) -> dict[str, Any]:
    """One registration; returns the fields of a RegisteredVersion."""
    return asdict(register(bench.job.settings, bench.job.concept, bench.manifests))

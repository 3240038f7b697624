"""The Prefect task that registers a training: remembered by content, tried again while MLflow does not answer."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from prefect import task
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from tasks.concepts import Concept
from tasks.hashing import digest_of
from tasks.manifest import Manifest
from tasks.registration import RegisteredVersion, doubt, register
from tasks.settings import Settings
from tasks.tracking import TrackingUnreachable, shown
from tasks.training_record import content_key

RETRIES = 3
BACKOFF_SECONDS = 2  # then twice that, and four times


def register_once(
    settings: Settings, concept: Concept, manifests: Mapping[str, Manifest]
) -> tuple[RegisteredVersion, bool]:
    """Register a training inside a flow; also says whether Prefect remembered it.

    What Prefect remembers is compared with the registry: a version that is gone or damaged is made again, with a
    warning. Raises as `tasks.registration.register`.
    """
    state = register_training(settings, concept, manifests, return_state=True)
    version = RegisteredVersion(**state.result())
    if state.name != "Cached":
        return version, False
    try:
        problem = doubt(settings, version)
    except TrackingUnreachable as error:
        problem = str(error)
    if problem is None:
        return replace(version, created=False, repaired=None), True
    get_run_logger().warning("%s; registering again", problem)
    return RegisteredVersion(**register_training.with_options(refresh_cache=True)(settings, concept, manifests)), False


def _cache_key(_context: Any, arguments: dict[str, Any]) -> str:
    concept, content = arguments["concept"].name, content_key(arguments["manifests"])
    return f"register/{concept}/{content}/{digest_of(shown(arguments['settings']))[:16]}"


def _worth_another_try(_task: Any, _run: Any, state: Any) -> bool:
    """Only an outage passes by itself."""
    return isinstance(state.result(raise_on_failure=False), TrackingUnreachable)


@task(
    name="register",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
    retry_condition_fn=_worth_another_try,
)
def register_training(settings: Settings, concept: Concept, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    """One registration; returns the fields of a RegisteredVersion."""
    return asdict(register(settings, concept, manifests))

"""Registration: a finished training becomes a version of the concept's registered model, once for each content."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.concept_package import upload_package
from tasks.concepts import Concept
from tasks.manifest import Manifest
from tasks.registry import CANDIDATE, damage, model_name, versions
from tasks.settings import Settings
from tasks.store import Store
from tasks.tracking import TrackingUnreachable, connect, experiment_id, shown, sorted_failures
from tasks.training_record import TrainingRecord
from tasks.training_runs import discard_unfinished, finished_run, record_training

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

MODEL_ID_TAG = "conceptbooth.model_id"
MLFLOWS_VERSIONS_TAG = "mlflow.modelVersions"
"""Where MLflow's pages look for the versions made from a logged model."""


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version of a registered concept model."""

    name: str
    """Of the registered model: `concept.turtle`."""
    version: int
    run_id: str
    key: str
    """Of the content; the same content is the same version."""
    created: bool
    """Whether this call made the version."""
    repaired: str | None = None
    """What was wrong with the version's files before this call put them back."""
    tracking_uri: str
    """Without user and password."""


def register(settings: Settings, concept: Concept, manifests: Mapping[str, Manifest]) -> RegisteredVersion:
    """Register a training by the manifests of all its stages and its evaluation, by stage name.

    The same content gives the same version. What an interrupted call left half-written is finished or done again. The
    alias `candidate` then names this version.

    Raises:
        TrackingUnreachable: MLflow does not answer, or stopped answering; nothing is lost.
        WorkFailed: MLflow refuses, or files cannot be written.
        InputError: the address in the settings cannot be used.
    """
    store = Store(settings.store)
    record = TrainingRecord.read(store, concept, manifests)
    with _saying_how_to_go_on(settings, concept), _one_at_a_time(settings, concept):
        client = connect(settings)
        with sorted_failures(settings):
            return _register(client, settings, store, record)


def _register(client: "MlflowClient", settings: Settings, store: Store, record: TrainingRecord) -> RegisteredVersion:
    name = model_name(record.concept.name)
    version, created, repaired = next(iter(versions(client, record.concept.name, record.key)), None), False, None
    if version is None:
        experiment = experiment_id(client, settings)
        run = finished_run(client, experiment, record.key)
        if run is None:
            discard_unfinished(client, experiment, record.key)
            run = record_training(client, settings, store, experiment, record)
        version, created = _create_version(client, name, run, record)
    model = client.get_logged_model(version.tags[MODEL_ID_TAG])
    if repaired := damage(client, settings, version):
        upload_package(client, settings, store, model, record)
    if MLFLOWS_VERSIONS_TAG not in model.tags:
        made = [{"name": name, "version": version.version}]
        client.set_logged_model_tags(model.model_id, {MLFLOWS_VERSIONS_TAG: json.dumps(made)})
    aliases: Mapping[str, str] = client.get_registered_model(name).aliases
    if str(aliases.get(CANDIDATE)) != str(version.version):
        client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    return RegisteredVersion(
        name=name,
        version=int(version.version),
        run_id=version.run_id,
        key=record.key,
        created=created,
        repaired=None if created else repaired,
        tracking_uri=shown(settings),
    )


def _create_version(
    client: "MlflowClient", name: str, run: "Run", record: TrainingRecord
) -> tuple["ModelVersion", bool]:
    """A new version from a finished run, unless another machine registered the same content meanwhile."""
    from mlflow.exceptions import MlflowException

    about = {f"conceptbooth.{field}": getattr(record.concept, field) for field in ("name", "super_category")}
    try:
        client.create_registered_model(name, tags=about, description=f"A {record.concept.super_category}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = run.outputs.model_outputs[0].model_id
    made = client.create_model_version(
        name,
        # models:/<id> would be looked up at MLflow's address for the whole process, which may be another
        source=client.get_logged_model(model_id).artifact_location,
        run_id=run.info.run_id,
        model_id=model_id,
        tags=record.tags() | {MODEL_ID_TAG: model_id},
        description=record.description(),
    )
    first = versions(client, record.concept.name, record.key)[0]
    if first.version == made.version:
        return made, True
    client.delete_model_version(name, made.version)
    client.delete_run(run.info.run_id)
    return first, False


@contextmanager
def _one_at_a_time(settings: Settings, concept: Concept) -> Iterator[None]:
    """Two processes of this machine must not tidy up each other's half-written runs; a killed one frees the lock."""
    locks = settings.home / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"register-{concept.name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _saying_how_to_go_on(settings: Settings, concept: Concept) -> Iterator[None]:
    try:
        yield
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"{error}. The training of '{concept.name}' is kept in the store; run `conceptbooth train {concept.name}` "
            f"again once {shown(settings)} answers: it only registers"
        ) from error

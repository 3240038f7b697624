"""Registration: a finished training becomes a version of the concept's registered model, once for each content."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.concept_package import upload_package
from tasks.concepts import Concept
from tasks.file_lock import alone
from tasks.manifest import Manifest
from tasks.registry import CANDIDATE, PREFIX, damage, model_name, versions
from tasks.settings import Settings
from tasks.store import Store
from tasks.tracking import TrackingUnreachable, connect, experiment_id, shown, sorted_failures
from tasks.training_record import TrainingRecord
from tasks.training_runs import RecordedRun, discard, discard_interrupted, record_training, recorded_run

if TYPE_CHECKING:
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
    lock = settings.home / "locks" / f"register-{concept.name}"
    # alone: two processes of this machine must not tidy up each other's half-written runs
    with _saying_how_to_go_on(settings, concept), alone(lock):
        client = connect(settings)
        with sorted_failures(settings):
            return _register(client, settings, store, record)


def doubt(settings: Settings, registered: RegisteredVersion) -> str | None:
    """Why a version remembered from an earlier registration is not what `candidate` should name now; None if it is.

    Raises:
        TrackingUnreachable: it cannot be told.
    """
    concept = registered.name.removeprefix(PREFIX)
    client = connect(settings)
    with sorted_failures(settings):
        there = {int(version.version): version for version in versions(client, concept, registered.key)}
        if registered.version not in there:
            return f"version {registered.version} of {registered.name} is gone from {shown(settings)}"
        problem = damage(client, settings, there[registered.version])
        if problem is None and _candidate(client, registered.name) != registered.version:
            problem = f"alias {CANDIDATE} names another version"
        return problem and f"version {registered.version} of {registered.name}: {problem}"


def _register(client: "MlflowClient", settings: Settings, store: Store, record: TrainingRecord) -> RegisteredVersion:
    name = model_name(record.concept.name)
    version, created, repaired = next(iter(versions(client, record.concept.name, record.key)), None), False, None
    if version is None:
        experiment = experiment_id(client, settings)
        run = recorded_run(client, experiment, record.key)
        if run is None:
            discard_interrupted(client, settings, experiment, record.concept.name)
            run = record_training(client, settings, store, experiment, record)
        version = _create_version(client, name, run, record)
        created = version.run_id == run.run_id
    if repaired := damage(client, settings, version):
        place = client.get_model_version_download_uri(name, version.version)
        upload_package(client, place, settings, store, record, version.run_id, version.tags[MODEL_ID_TAG])
    if _candidate(client, name) != int(version.version):
        _link_from_run(client, version)
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


def _candidate(client: "MlflowClient", name: str) -> int | None:
    number = client.get_registered_model(name).aliases.get(CANDIDATE)
    return None if number is None else int(number)


def _create_version(client: "MlflowClient", name: str, run: RecordedRun, record: TrainingRecord) -> "ModelVersion":
    """The version made from a recorded run, or the one that another machine made of the same content meanwhile."""
    from mlflow.exceptions import MlflowException

    about = {f"conceptbooth.{field}": getattr(record.concept, field) for field in ("name", "super_category")}
    try:
        client.create_registered_model(name, tags=about, description=f"Super-category: {record.concept.super_category}")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name,
        source=run.files,  # models:/<id> would be looked up at MLflow's address for the whole process, maybe another
        run_id=run.run_id,
        model_id=run.model_id,
        tags=record.tags() | {MODEL_ID_TAG: run.model_id},
        description=record.description(),
    )
    first = versions(client, record.concept.name, record.key)[0]
    if first.version != made.version:
        client.delete_model_version(name, made.version)
        discard(client, client.get_run(run.run_id), "another machine registered the same content first")
    return first


def _link_from_run(client: "MlflowClient", version: "ModelVersion") -> None:
    """Tell the run's logged model which version it became, as MLflow's pages expect it."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_logged_model(version.tags[MODEL_ID_TAG])
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return  # somebody deleted it; the version stands without it
        raise
    versions_of_it = [{"name": version.name, "version": version.version}]
    client.set_logged_model_tags(model.model_id, {MLFLOWS_VERSIONS_TAG: json.dumps(versions_of_it)})


@contextmanager
def _saying_how_to_go_on(settings: Settings, concept: Concept) -> Iterator[None]:
    try:
        yield
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"{error}. The training of '{concept.name}' is kept in the store; run `conceptbooth train {concept.name}` "
            f"again once {shown(settings)} answers: it only registers"
        ) from error

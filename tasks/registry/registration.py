"""Registration: a finished training becomes a version of the concept's registered model, once for each content."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import Concept
from tasks.concepts.takedown_memory import current_takedowns
from tasks.files.locks import file_lock
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.package import listing_digest, mend_package
from tasks.registry.reference import CANDIDATE
from tasks.registry.runs import (
    GALLERY_TAG,
    RecordedRun,
    discard,
    discard_interrupted,
    name_runs,
    record_training,
    recorded_run,
    replace_gallery,
)
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.version_records import remember_version
from tasks.registry.versions import (
    PACKAGE_TAG,
    PREFIX,
    REVOKED_TAG,
    TAGS,
    WEIGHTS_SHA256_TAG,
    model_name,
    version_damage,
    versions,
)
from tasks.store.manifest import Manifest
from tasks.store.store import Store, open_store
from tasks.tracking.address import shown
from tasks.tracking.client import MlflowRefused, TrackingUnreachable, connect, experiment_id, sorted_failures

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
    redrawn: bool = False
    """Whether this call put a newer gallery in the place of an older one."""
    tracking_uri: str
    """Without user and password."""

    @property
    def made(self) -> bool:
        """Whether this call had anything to do."""
        return self.created or self.redrawn or self.repaired is not None


def register(settings: Settings, concept: Concept, manifests: Mapping[str, Manifest]) -> RegisteredVersion:
    """Register a training by the manifests of all its stages and its evaluation, by stage name.

    The same content gives the same version. What an interrupted call left half-written is finished or done again. The
    alias `candidate` then names this version.

    Raises:
        TrackingUnreachable: MLflow does not answer, or stopped answering; nothing is lost.
        WorkFailed: MLflow refuses, files cannot be written, or the version of this content was revoked.
        InputError: the address in the settings cannot be used; records of takedowns were removed from the store.
    """
    store = open_store(settings)
    record = TrainingFacts.read(store, concept, manifests)
    lock = settings.home / "locks" / f"register-{concept.name}"
    # alone: two processes of this machine must not tidy up each other's half-written runs
    with _saying_what_is_kept(settings, concept), file_lock(lock):
        client = connect(settings)
        current_takedowns(settings, store)  # asked only now, where MLflow was away when the training began
        with sorted_failures(settings):
            return _register(client, settings, store, record)


def confirm(settings: Settings, registered: RegisteredVersion) -> str | None:
    """Why a version remembered from an earlier registration has to be registered again; None if it is there and whole.

    Then the alias `candidate` names it.

    Raises:
        TrackingUnreachable: it cannot be told.
        WorkFailed: it was revoked.
    """
    concept = registered.name.removeprefix(PREFIX)
    client = connect(settings)
    with sorted_failures(settings):
        there = {int(version.version): version for version in versions(client, concept, registered.key)}
        if registered.version not in there:
            return f"version {registered.version} of {registered.name} is gone from {shown(settings)}"
        _refuse_revoked(there[registered.version])
        problem = version_damage(client, settings, there[registered.version])
        if problem is None:
            _name_candidate(client, there[registered.version])
        return problem and f"version {registered.version} of {registered.name}: {problem}"


def _register(client: "MlflowClient", settings: Settings, store: Store, record: TrainingFacts) -> RegisteredVersion:
    mend_cleared_tags(settings, record.concept.name)
    version, repaired = _registered_before(client, settings, record)
    created = redrawn = False
    if version is None:
        experiment = experiment_id(client, settings)
        run = recorded_run(client, experiment, record)
        if run is None:
            discard_interrupted(client, settings, experiment, record.concept.name)
            run = record_training(client, settings, store, experiment, record)
        version = _create_version(client, run, record)
        created = version.run_id == run.run_id
    if repaired:
        listed = mend_package(client, settings, store, record, version, version.tags[MODEL_ID_TAG])
        version.tags[PACKAGE_TAG] = listed
    if version.tags.get(GALLERY_TAG) != record.gallery.key:
        redrawn = True
        replace_gallery(client, store, experiment_id(client, settings), version.run_id, record)
        client.set_model_version_tag(version.name, version.version, GALLERY_TAG, record.gallery.key)
    name_runs(client, experiment_id(client, settings), version.run_id, record.concept.name, version.version)
    told = {name: value for name, value in version.tags.items() if name.startswith(TAGS)}
    remember_version(store, settings, version, told | {GALLERY_TAG: record.gallery.key})
    _name_candidate(client, version)
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        run_id=version.run_id,
        key=record.key,
        created=created,
        repaired=repaired,
        redrawn=redrawn,
        tracking_uri=shown(settings),
    )


def _registered_before(
    client: "MlflowClient", settings: Settings, record: TrainingFacts
) -> tuple["ModelVersion | None", str | None]:
    """The version of this content, and what is wrong with its files where the store can put them right."""
    for version in versions(client, record.concept.name, record.key):
        _refuse_revoked(version)
        problem = version_damage(client, settings, version)
        # weights that were trained again may differ in their last bits: they cannot stand for those that are lost
        if problem is None or version.tags.get(WEIGHTS_SHA256_TAG) == record.weights.sha256:
            return version, problem
    return None, None


def _refuse_revoked(version: "ModelVersion") -> None:
    """WorkFailed for a version that must never be used again: `candidate` is not to come back to it."""
    if revoked := version.tags.get(REVOKED_TAG):
        raise WorkFailed(
            f"version {version.version} of {version.name} holds this very training and was revoked on {revoked}",
            "train on other images",
        )


def _name_candidate(client: "MlflowClient", version: "ModelVersion") -> None:
    if str(client.get_registered_model(version.name).aliases.get(CANDIDATE)) != str(version.version):
        _link_from_run(client, version)  # before the alias: as long as that is missing, this may be missing too
        client.set_registered_model_alias(version.name, CANDIDATE, str(version.version))


def make_model(client: "MlflowClient", concept: str, super_category: str) -> str:
    """Name of a concept's registered model, which is there afterwards."""
    from mlflow.exceptions import MlflowException

    name, about = model_name(concept), {f"{TAGS}name": concept, f"{TAGS}super_category": super_category}
    try:
        client.create_registered_model(name, tags=about, description=f"Super-category: {super_category}")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return name


def _create_version(client: "MlflowClient", run: RecordedRun, record: TrainingFacts) -> "ModelVersion":
    """The version made from a recorded run, or the one that another machine made of the same content meanwhile."""
    name = make_model(client, record.concept.name, record.concept.super_category)
    made = client.create_model_version(
        name,
        source=run.files,  # models:/<id> would be looked up at MLflow's address for the whole process, maybe another
        run_id=run.run_id,
        model_id=run.model_id,
        tags=record.tags() | {MODEL_ID_TAG: run.model_id, PACKAGE_TAG: listing_digest(client, run.files)},
        description=record.description(),
    )
    same = (WEIGHTS_SHA256_TAG, record.weights.sha256)
    first = next(v for v in versions(client, record.concept.name, record.key) if same in v.tags.items())
    if first.version != made.version:
        client.delete_model_version(name, made.version)
        if first.run_id == run.run_id:  # both have completed the run that the training had left
            client.delete_logged_model(run.model_id)
        else:
            discard(client, client.get_run(run.run_id), "another machine registered the same content first")
    return first


def _link_from_run(client: "MlflowClient", version: "ModelVersion") -> None:
    """Tell the run's logged model which version it became, as MLflow's pages expect it."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_logged_model(version.tags.get(MODEL_ID_TAG, "none"))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return  # somebody deleted it; the version stands without it
        raise
    versions_of_it = [{"name": version.name, "version": version.version}]
    client.set_logged_model_tags(model.model_id, {MLFLOWS_VERSIONS_TAG: json.dumps(versions_of_it)})


@contextmanager
def _saying_what_is_kept(settings: Settings, concept: Concept) -> Iterator[None]:
    """However the registration fails, the hours before it are not lost."""
    kept = f"the training of '{concept.name}' is kept in the store; run `conceptbooth train {concept.name}` again once"
    try:
        yield
    except TrackingUnreachable as error:
        raise TrackingUnreachable(error.said, f"{kept} {shown(settings)} answers: it only registers") from error
    except InputError as error:
        raise InputError(f"{error}; {kept} that is mended: it only registers") from error
    except MlflowRefused as error:
        raise MlflowRefused(error.said, f"{kept} that is mended: it only registers") from error

"""Registered concept models: how they are called, which there are, and where their files lie."""

import difflib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.bases.recorded_base import find_recorded_base
from model.errors import InputError
from tasks.concepts.concepts import concept_names, no_such_concept
from tasks.files.hashing import DigestMemory, file_digest
from tasks.project.settings import Settings
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.store.artefacts import WEIGHTS as WEIGHTS_FILE
from tasks.tracking.address import is_unused
from tasks.tracking.client import connect, sorted_failures

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

PREFIX = "concept."
TAGS = "conceptbooth."
"""Begin all tags that are ours."""
KEY_TAG = "conceptbooth.key"
WEIGHTS_SHA256_TAG = "conceptbooth.weights_sha256"
WEIGHTS_SIZE_TAG = "conceptbooth.weights_size"
STAGE_TAGS = "conceptbooth.stage."
"""Begin the tags that name the keys of all stages of a version."""
EVALUATION_TAG = f"{STAGE_TAGS}evaluate"
GALLERY_TAG = f"{STAGE_TAGS}gallery"
GATE_TAG = "conceptbooth.gate"
"""What the gate said of a version: tasks/promotion/policy.py."""
REVOKED_TAG = "conceptbooth.revoked"
"""Of a version that must never be used again: when that was said, and why."""
FACTS_FILE = "concept.json"


@dataclass(frozen=True, kw_only=True)
class ResolvedVersion:
    """A registered version whose files have been fetched and compared with what was registered."""

    concept: str
    name: str
    """Of the registered model: `concept.turtle`."""
    version: int
    folder: Path
    """Holds concept.safetensors and concept.json."""
    tags: Mapping[str, str]


def model_name(concept: str) -> str:
    """Name of a concept's registered model."""
    return f"{PREFIX}{concept}"


def resolve(settings: Settings, reference: VersionReference) -> ResolvedVersion:
    """The version that is meant, files included.

    Raises:
        InputError: no such concept, alias or version (names those there are), it was revoked, or its files are gone or
            altered.
        WorkFailed: MLflow does not answer.
    """
    concept = reference.concept
    if is_unused(settings):
        raise InputError(_nothing_registered(settings, concept, []))
    client = connect(settings)
    with sorted_failures(settings):
        found = look_up(client, settings, reference)
        if revoked := found.tags.get(REVOKED_TAG):
            raise InputError(f"concept '{concept}' version {found.version} was revoked on {revoked}")
        folder = _fetch(client, settings, found)
    return ResolvedVersion(
        concept=concept, name=found.name, version=int(found.version), folder=folder, tags=dict(found.tags)
    )


def versions(client: "MlflowClient", concept: str, key: str | None = None) -> "list[ModelVersion]":
    """Versions of a concept, oldest first; with `key` only those of that content."""
    query = f"name = '{model_name(concept)}'" + (f" and tags.`{KEY_TAG}` = '{key}'" if key else "")
    return sorted(client.search_model_versions(query, max_results=10_000), key=lambda found: int(found.version))


def damage(client: "MlflowClient", settings: Settings, version: "ModelVersion") -> str | None:
    """What is wrong with a version's files; None if nothing.

    Files on this machine are hashed; of those elsewhere names and sizes are compared.
    """
    from mlflow.artifacts import list_artifacts

    uri = files_uri(client, version)
    folder = local_folder(uri)
    if folder is not None:
        missing = [name for name in (WEIGHTS_FILE, FACTS_FILE) if not (folder / name).is_file()]
        if missing:
            return f"{' and '.join(missing)} missing in {folder}"
        return None if _has_right_weights(folder, version) else f"{WEIGHTS_FILE} in {folder} is not what was registered"
    there = list_artifacts(artifact_uri=uri, tracking_uri=settings.mlflow_tracking_uri)
    sizes = {entry.path.rpartition("/")[2]: entry.file_size for entry in there}
    missing = [name for name in (WEIGHTS_FILE, FACTS_FILE) if name not in sizes]
    if missing:
        return f"{' and '.join(missing)} missing in {uri}"
    size, wanted = sizes[WEIGHTS_FILE], int(version.tags[WEIGHTS_SIZE_TAG])
    if size is not None and size != wanted:  # not every storage tells sizes
        return f"{WEIGHTS_FILE} in {uri} has {size} bytes, {wanted} were registered"
    return None


def files_uri(client: "MlflowClient", version: "ModelVersion") -> str:
    """Where the weights and facts of a version lie."""
    return f"{client.get_model_version_download_uri(version.name, version.version).rstrip('/')}/artifacts"


def local_folder(uri: str) -> Path | None:
    """The folder behind a file: address or a path; None for anything else."""
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def _has_right_weights(folder: Path, version: "ModelVersion") -> bool:
    return file_digest(folder / WEIGHTS_FILE) == version.tags[WEIGHTS_SHA256_TAG]


def look_up(client: "MlflowClient", settings: Settings, reference: VersionReference) -> "ModelVersion":
    """The version that is meant. Raises InputError, with what there is."""
    from mlflow.exceptions import MlflowException

    concept, alias, number = reference.concept, reference.alias, reference.version
    name = model_name(concept)
    there = versions(client, concept)
    if not there:
        models: list[RegisteredModel] = client.search_registered_models(f"name LIKE '{PREFIX}%'", max_results=1000)
        names = [model.name.removeprefix(PREFIX) for model in models if model.latest_versions]
        raise InputError(_nothing_registered(settings, concept, names))
    if number is not None:
        for version in there:
            if int(version.version) == number:
                return version
        raise InputError(f"concept '{concept}' has no version {number}; {_what_exists(client, concept, there)}")
    try:
        return client.get_model_version_by_alias(name, alias or CANDIDATE)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    if alias is None:
        whole = [version for version in there if REVOKED_TAG not in version.tags]
        return (whole or there)[-1]  # somebody removed the alias: the newest is what it stood for
    raise InputError(f"concept '{concept}' has no alias '{alias}'; {_what_exists(client, concept, there)}")


def _what_exists(client: "MlflowClient", concept: str, there: "Sequence[ModelVersion]") -> str:
    aliases: Mapping[str, Any] = client.get_registered_model(model_name(concept)).aliases
    numbers = [str(version.version) for version in there]
    shown_numbers = ", ".join(numbers) if len(numbers) <= 8 else f"{numbers[0]} to {numbers[-1]}"
    named = ", ".join(f"@{alias} (version {number})" for alias, number in sorted(aliases.items())) or "none"
    return f"versions: {shown_numbers}; aliases: {named}"


def _nothing_registered(settings: Settings, concept: str, registered: "Sequence[str]") -> str:
    there_are = f"; registered: {', '.join(registered[:20])}" if registered else ""
    said = f"concept '{concept}' has no registered version"
    if concept in concept_names(settings):
        return f"{said}: `conceptbooth train {concept}` makes one{there_are}"
    near = difflib.get_close_matches(concept, registered, n=1)
    return f"{said}; did you mean '{near[0]}'?" if near else no_such_concept(settings, concept) + there_are


def _fetch(client: "MlflowClient", settings: Settings, version: "ModelVersion") -> Path:
    """Folder with the version's files: where they are, or a copy of them in `settings.home` if that is elsewhere."""
    from mlflow.artifacts import download_artifacts

    uri = files_uri(client, version)
    copies = settings.home / "versions"
    kept = copies / f"{version.name}-{version.version}-{version.tags[WEIGHTS_SHA256_TAG][:16]}"
    if local_folder(uri) is None and (kept / WEIGHTS_FILE).is_file() and _has_right_weights(kept, version):
        return kept
    said = f"{version.name} version {version.version}"
    again = f"`conceptbooth train {version.name.removeprefix(PREFIX)}` puts it right"
    problem = damage(client, settings, version)
    if problem:
        raise InputError(f"{said}: {problem}; {again}")
    folder = local_folder(uri)
    if folder is not None:
        return folder
    copies.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copies, prefix=".") as spool:
        fetched = Path(download_artifacts(artifact_uri=uri, dst_path=spool, tracking_uri=settings.mlflow_tracking_uri))
        if not _has_right_weights(fetched, version):
            raise InputError(f"{said}: {WEIGHTS_FILE} in {uri} is not what was registered; {again}")
        shutil.rmtree(kept, ignore_errors=True)  # a damaged copy; nobody else writes what the hash in its name promises
        fetched.rename(kept)
    return kept


def base_of(settings: Settings, version: ResolvedVersion) -> tuple[str, str | None]:
    """Folder, or hub id and commit, of the base that the version was trained on, as CONCEPTBOOTH_BASE wants it.

    Raises:
        InputError: no base there, or another one.
    """
    base: dict[str, Any] = json.loads((version.folder / FACTS_FILE).read_text(encoding="utf-8"))["base"]
    memory = DigestMemory(settings.home / "digests.json")
    try:
        found = find_recorded_base(base, settings.root / base["reference"], memory.digest)
    except InputError as error:
        again = f"or run `conceptbooth train {version.concept}` to train on the present base"
        raise InputError(f"concept '{version.concept}' version {version.version}: {error}, {again}") from error
    memory.save()
    return found

"""Registered concept models: how they are called, which there are, and where their files lie."""

import difflib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from model.weights.file import is_small
from tasks.concepts.concepts import concept_names, no_such_concept
from tasks.files.hashing import file_digest
from tasks.files.names import proper_sha256
from tasks.project.params import EXACT, SMALL
from tasks.project.settings import Settings
from tasks.registry.package_listing import LISTING, NoListing, is_bytecode, package_problems, read_listing
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.store.artefacts import WEIGHTS as WEIGHTS_FILE
from tasks.tracking.address import is_unused
from tasks.tracking.client import artifacts_at, connect, sorted_failures

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

PREFIX = "concept."
TAGS = "conceptbooth."
"""Begin all tags that are ours."""
KEY_TAG = "conceptbooth.key"
WEIGHTS_SHA256_TAG = "conceptbooth.weights_sha256"
WEIGHTS_SIZE_TAG = "conceptbooth.weights_size"
BASE_DIGEST_TAG = "conceptbooth.base_digest"
STAGE_TAGS = "conceptbooth.stage."
"""Begin the tags that name the keys of all stages of a version."""
EVALUATION_TAG = f"{STAGE_TAGS}evaluate"
GALLERY_TAG = f"{STAGE_TAGS}gallery"
GATE_TAG = "conceptbooth.gate"
"""What the gate said of a version: tasks/promotion/policy.py."""
REVOKED_TAG = "conceptbooth.revoked"
"""Of a version that must never be used again: when that was said, and why."""
PACKAGE_TAG = "conceptbooth.package_sha256"
"""sha256 of the list of a version's files, as they were registered. Versions from before it was kept have none."""
FACTS_FILE = "concept.json"
ARTIFACTS = "artifacts"
"""Folder of a package that holds weights and facts."""
_SHOWN = 3  # problems in a message


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


def form_of(version: ResolvedVersion) -> str:
    """The form of a version's weights, as params.yaml calls it: `small` or `exact`."""
    return SMALL if is_small(version.folder / WEIGHTS_FILE) else EXACT


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


def version_damage(client: "MlflowClient", settings: Settings, version: "ModelVersion") -> str | None:
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
        if not _has_right_weights(folder, version):
            return f"{WEIGHTS_FILE} in {folder} is not what was registered"
        return package_damage(folder.parent, version.tags)
    there = list_artifacts(artifact_uri=uri, tracking_uri=settings.mlflow_tracking_uri)
    sizes = {entry.path.rpartition("/")[2]: entry.file_size for entry in there}
    missing = [name for name in (WEIGHTS_FILE, FACTS_FILE) if name not in sizes]
    if missing:
        return f"{' and '.join(missing)} missing in {uri}"
    size, wanted = sizes[WEIGHTS_FILE], int(tag_of(version, WEIGHTS_SIZE_TAG))
    if size is not None and size != wanted:  # not every storage tells sizes
        return f"{WEIGHTS_FILE} in {uri} has {size} bytes, {wanted} were registered"
    return None


def package_damage(package: Path, tags: Mapping[str, str]) -> str | None:
    """What is wrong with the package of a version with these tags: all of it is hashed; None if nothing.

    Bytecode that a Python of somebody's left there is passed over: nobody here runs or copies it.
    """
    try:
        wanted = read_listing(package)
        if PACKAGE_TAG in tags and file_digest(package / LISTING) != tags[PACKAGE_TAG]:
            return f"the list of its files, {package / LISTING}, is not the one that was registered"
        found = package_problems(package, wanted)
    except NoListing as error:
        return f"the files of {package} cannot be checked: {error}"
    problems = [f"{name} {problem}" for name, problem in found.items() if not is_bytecode(name)]
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"in {package}: {'; '.join(problems[:_SHOWN])}{more}" if problems else None


def files_uri(client: "MlflowClient", version: "ModelVersion") -> str:
    """Where the weights and facts of a version lie."""
    return f"{client.get_model_version_download_uri(version.name, version.version).rstrip('/')}/{ARTIFACTS}"


def tag_of(version: "ModelVersion | ResolvedVersion", name: str) -> str:
    """What a tag of ours says. InputError where somebody has cleared it and no record of the store puts it back."""
    if name in version.tags:
        return version.tags[name]
    concept = version.name.removeprefix(PREFIX)
    raise InputError(
        f"concept '{concept}' version {version.version}: its tag {name} is missing, so somebody has cleared it in "
        f"MLflow, and the store has no record of it; `conceptbooth train {concept}` registers the training anew"
    )


def local_folder(uri: str) -> Path | None:
    """The folder behind a file: address or a path; None for anything else."""
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def _has_right_weights(folder: Path, version: "ModelVersion") -> bool:
    return file_digest(folder / WEIGHTS_FILE) == tag_of(version, WEIGHTS_SHA256_TAG)


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
    said = f"{version.name} version {version.version}"
    again = f"`conceptbooth train {version.name.removeprefix(PREFIX)}` puts it right"
    place = client.get_model_version_download_uri(version.name, version.version)
    if (folder := local_folder(place)) is not None:
        if problem := version_damage(client, settings, version):
            raise InputError(f"{said}: {problem}; {again}")
        return folder / ARTIFACTS
    copies = settings.home / "versions"
    kept = copies / f"{version.name}-{version.version}-{proper_sha256(tag_of(version, WEIGHTS_SHA256_TAG))[:16]}"
    if kept.is_dir() and _copy_problem(kept, version) is None:
        return kept / ARTIFACTS
    if problem := version_damage(client, settings, version):  # nothing is fetched whose names or sizes are wrong
        raise InputError(f"{said}: {problem}; {again}")
    copies.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copies, prefix=".") as spool:
        fetched = Path(spool) / "package"
        fetched.mkdir()
        artifacts_at(client, place).download_artifacts("", str(fetched))
        if problem := _copy_problem(fetched, version):
            raise InputError(f"{said}: fetched from {place}: {problem}; {again}")
        shutil.rmtree(kept, ignore_errors=True)  # a damaged copy; nobody else writes what the hash in its name promises
        fetched.rename(kept)
    return kept / ARTIFACTS


def _copy_problem(package: Path, version: "ModelVersion") -> str | None:
    weights = package / ARTIFACTS / WEIGHTS_FILE
    if not weights.is_file() or not _has_right_weights(weights.parent, version):
        return f"{WEIGHTS_FILE} is not what was registered"
    return package_damage(package, version.tags)

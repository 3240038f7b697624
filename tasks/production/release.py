"""A release: one registered version with its proof of origin, as a folder that needs nothing but itself.

    releases/<concept>/<id>/model/...            the package, byte for byte as it was registered
    releases/<concept>/<id>/lineage/<stage>.json the manifests of everything that it was made from
    releases/<concept>/<id>/provenance.json      the same as an in-toto statement of SLSA provenance
    releases/<concept>/<id>/release.json         every file with its hash; put last; its own hash is its identity
    releases/<concept>/<id>/model.sig            the signature over all of it, where a key is configured

The same version gives the same bytes whenever it is assembled, so that a second attempt finds what the first has left.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import InputError, WorkFailed
from tasks.files.hashing import file_digest
from tasks.files.names import proper_name, proper_sha256
from tasks.production.statement import provenance_statement
from tasks.registry.package_listing import LEFT_BY_LOADING, MLFLOW_NOTE, is_bytecode, mlflow_note
from tasks.registry.versions import PREFIX, local_folder, package_damage
from tasks.store.blobs import Blobs
from tasks.store.manifest import FileRecord, Manifest
from tasks.tracking.client import artifacts_at

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

RELEASES = "releases/"
MODEL, LINEAGE, PROVENANCE, DOCUMENT, SIGNATURE = "model", "lineage", "provenance.json", "release.json", "model.sig"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Release:
    """What release.json says, and what its hash is."""

    concept: str
    content: str
    """Key of the training's content."""
    files: Mapping[str, FileRecord]
    """All but release.json and the signature, by path inside the release."""

    @property
    def document(self) -> bytes:
        """The bytes of release.json."""
        files = {name: [record.sha256, record.size] for name, record in self.files.items()}
        facts = {"schema": SCHEMA, "concept": self.concept, "content": self.content, "files": files}
        return (json.dumps(facts, sort_keys=True, indent=1) + "\n").encode()

    @property
    def id(self) -> str:
        """sha256 of release.json, which holds the hash of every file."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of every file by path, release.json's own among them: what its signature is over."""
        return {DOCUMENT: self.id} | {name: record.sha256 for name, record in self.files.items()}

    def below(self, folder: str) -> dict[str, FileRecord]:
        """Its files in one of its folders, by path inside that."""
        inside = f"{folder}/"
        return {name.removeprefix(inside): record for name, record in self.files.items() if name.startswith(inside)}

    @property
    def place(self) -> str:
        """Its folder in the production store, with "/" at the end."""
        return release_place(self.concept, self.id)


def release_place(concept: str, release: str) -> str:
    """Folder of a release in the production store."""
    return f"{RELEASES}{concept}/{release[:16]}/"


def assemble(
    client: "MlflowClient",
    version: "ModelVersion",
    concept: str,
    content: str,
    manifests: Mapping[str, Manifest],
    folder: Path,
) -> Release:
    """Write a release of a registered version into an empty folder, release.json included.

    Raises:
        WorkFailed: the registered package is not what was registered.
    """
    place = client.get_model_version_download_uri(version.name, version.version)
    package = local_folder(place)
    if package is not None:
        ignored = shutil.ignore_patterns(*LEFT_BY_LOADING)
        shutil.copytree(package, folder / MODEL, symlinks=True, ignore=ignored)  # no link is a part of it
    else:
        (folder / MODEL).mkdir(parents=True)
        artifacts_at(client, place).download_artifacts("", str(folder / MODEL))
    if problem := package_damage(folder / MODEL, version.tags):
        again = f"`conceptbooth train {version.name.removeprefix(PREFIX)}` puts it right"
        raise WorkFailed(f"{version.name} version {version.version}: {problem}; {again}")
    (folder / LINEAGE).mkdir()
    for stage, manifest in manifests.items():
        (folder / LINEAGE / f"{stage}.json").write_text(manifest.to_json(), encoding="utf-8")
    statement = provenance_statement(concept, content, manifests, _records(folder / MODEL))
    (folder / PROVENANCE).write_text(json.dumps(statement, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    release = Release(concept=concept, content=content, files=_records(folder))
    (folder / DOCUMENT).write_bytes(release.document)
    return release


def send(place: Blobs, release: Release, folder: Path, tell: Callable[[str], None] = lambda _: None) -> None:
    """Copy a release's bytes into production and hash them there; what is there and whole is not sent again.

    Raises:
        WorkFailed: what arrived is not what was sent.
        StoreFailed: the production store does not take it; the next attempt carries on where this one ended.
    """
    contents = {f"{release.place}{name}": (folder / name, record) for name, record in release.files.items()}
    lacking = place.problems({name: record for name, (_, record) in contents.items()}, rehash=True)
    if lacking:
        tell(f"copying {len(lacking)} of {len(contents)} files to {place.where(release.place)}")
        place.put({name: contents[name] for name in lacking}, rehash=True)
    problems = place.problems({name: contents[name][1] for name in lacking}, rehash=True)
    if problems:
        raise WorkFailed(
            f"production store {place.address}: {len(problems)} files did not arrive as they were sent: "
            + "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        )
    if place.read(f"{release.place}{DOCUMENT}") is None:
        place.create(f"{release.place}{DOCUMENT}", release.document)


def read_release(place: Blobs, concept: str, identity: str) -> Release:
    """What a release holds, as the ledger's identity of it proves.

    Raises:
        InputError: it is missing or was changed.
        StoreFailed: it cannot be told.
    """
    path = f"{release_place(proper_name(concept), proper_sha256(identity))}{DOCUMENT}"
    record = place.read(path)
    if record is None:
        raise InputError(f"release {place.where(path)}: missing")
    if hashlib.sha256(record.content).hexdigest() != identity:
        raise InputError(f"release {place.where(path)}: its bytes have changed")
    try:
        facts = json.loads(record.content)
        files = {proper_name(name): FileRecord.parse(*recorded) for name, recorded in facts["files"].items()}
        release = Release(concept=facts["concept"], content=facts["content"], files=files)
        if release.document != record.content:
            raise ValueError("another form than it is written in")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"release {place.where(path)}: is none: {error or type(error).__name__}") from error
    if release.concept != concept:
        raise InputError(f"release {place.where(path)}: is one of {release.concept!r}")
    return release


def read_file(place: Blobs, release: Release, name: str) -> bytes:
    """A small file of a release, its bytes hashed. Raises InputError where it is not what it was; StoreFailed."""
    path = f"{release.place}{name}"
    record, known = place.read(path), release.files.get(name)
    if record is None or known is None:
        raise InputError(f"{place.where(path)}: missing")
    if hashlib.sha256(record.content).hexdigest() != known.sha256:
        raise InputError(f"{place.where(path)}: its bytes have changed")
    return record.content


def damage(place: Blobs, release: Release) -> list[str]:
    """What is wrong with a release's files, all their bytes hashed; one sentence each. Raises StoreFailed."""
    named = {f"{release.place}{name}": record for name, record in release.files.items()}
    return [
        f"{name.removeprefix(release.place)}: {problem}" for name, problem in place.problems(named, rehash=True).items()
    ]


def unfit(place: Blobs, release: Release, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Why a release may not serve, one sentence each: `damage` and `beside`. Raises StoreFailed."""
    return damage(place, release) + beside(place, release, tell)


def beside(place: Blobs, release: Release, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """What lies in a release's folder and keeps it from serving, one sentence each.

    Bytecode that Python left there is removed: it is never a part of a release, and whoever loads the folder would run
    it in the place of the code. Raises StoreFailed.
    """
    found, problems = strangers(place, release), []
    bytecode = [name for name in found if is_bytecode(name)]
    if bytecode:
        tell(f"removing bytecode from {place.where(release.place)}: {', '.join(bytecode)}")
        place.delete_all([f"{release.place}{name}" for name in bytecode])
    for name in sorted(set(found) - set(bytecode)):
        note = place.read(f"{release.place}{name}") if name == f"{MODEL}/{MLFLOW_NOTE}" else None
        if note is None or mlflow_note(note.content) is None:
            problems.append(f"{name}: is no part of the release, and whoever loads the folder may load it; remove it")
    return problems


def strangers(place: Blobs, release: Release) -> list[str]:
    """What in a release's folder is none of it: whoever loads the folder might load it. Raises StoreFailed.

    A link or a pipe is never a part, nor in a file's place: what it leads to may be another thing when it is used.
    """
    own = {*release.files, DOCUMENT, SIGNATURE}
    found = (entry.name.removeprefix(release.place) for entry in place.entries(release.place))
    links = {name.removeprefix(release.place) for name in place.no_files(release.place)}
    return sorted({name for name in found if name not in own} | links)


def _records(folder: Path) -> dict[str, FileRecord]:
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {n: FileRecord(sha256=file_digest(path), size=path.stat().st_size) for n, path in paths.items()}

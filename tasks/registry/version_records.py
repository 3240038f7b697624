"""What a registry was told of each version, on record in the store: enough to tell it again once its database is lost.

Written when the version is made or shows something new; where they lie, tasks/registry/store_records.py says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from tasks.project.settings import Settings
from tasks.registry.store_records import record_paths, version_record_path, version_record_paths
from tasks.registry.versions import GATE_TAG, KEY_TAG, PREFIX, REVOKED_TAG, STAGE_TAGS, TAGS
from tasks.signing.keys import Signer
from tasks.signing.trusted_keys import TrustedKeys
from tasks.store.documents import read_values
from tasks.store.sealed import Seal, sealed, unsealed, unsigned_because
from tasks.store.shapes import check_fields
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SCHEMA = 2
UNSEALED_SCHEMA = 1
"""Of records from before they were sealed; they read as before."""
KIND = "version record"
"""What its signature is over."""


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """A version as it was registered."""

    concept: str
    version: int
    source: str
    """Address of its package."""
    run_id: str
    tags: Mapping[str, str]
    """Those of ours that follow from its content; verdicts and revocations are told by who makes them."""
    description: str
    previous: str | None = field(default=None, compare=False)
    """Seal of the record of the version before, as that was when this one was first written; None for the first."""
    replaced: tuple[str, ...] = field(default=(), compare=False)
    """Seals of this record before it was written over: a version's gallery may be drawn anew."""
    seal: Seal | None = field(default=None, compare=False)
    """As it was read; None where it was not, or was written before records were sealed."""

    @property
    def content(self) -> str:
        """Key of the training's content."""
        return self.tags[KEY_TAG]

    @property
    def stages(self) -> dict[str, str]:
        """Keys of the stages that it was made by."""
        return {tag.removeprefix(STAGE_TAGS): key for tag, key in self.tags.items() if tag.startswith(STAGE_TAGS)}

    @property
    def own_tags(self) -> dict[str, str]:
        """Its tags as far as they follow from its content: a verdict or revocation is no record's to give."""
        told = (GATE_TAG, REVOKED_TAG)
        return {name: value for name, value in self.tags.items() if name.startswith(TAGS) and name not in told}

    def is_of(self, concept: str, version: int) -> bool:
        """Whether it is the record of this version, and no other's that was put in its place."""
        return (self.concept, self.version) == (concept, version)

    def unsigned(self, keys: TrustedKeys) -> str | None:
        """Why no trusted key stands for it; None where one does, or none is asked for."""
        if self.seal is None:
            return "is not sealed" if keys.asks_for("trainings") else None
        return unsigned_because(keys, ("trainings", "releases"), KIND, self.seal)

    def to_json(self, signer: Signer | None = None) -> bytes:
        """Stable bytes."""
        content = {name: value for name, value in vars(self).items() if name != "seal"}
        return sealed(KIND, {"schema": SCHEMA, **content, "replaced": list(self.replaced)}, signer)

    @classmethod
    def from_json(cls, content: bytes) -> "VersionRecord":
        """Read `to_json`'s bytes. Raises ValueError where they are none of this schema, or not as they were sealed."""
        unpacked, seal = unsealed(content)

        def build(values: dict[str, Any]) -> "VersionRecord":
            del values["schema"]
            check_fields(cls, values)
            record = cls(**values | {"replaced": tuple(values.get("replaced", ()))}, seal=seal)
            str(record.content)  # KeyError where it has none
            return record

        return read_values(
            unpacked, "record of a registered version", (UNSEALED_SCHEMA if seal is None else SCHEMA,), build
        )


def remember_version(store: Store, settings: Settings, version: "ModelVersion", tags: Mapping[str, str]) -> None:
    """Keep what a version was told, unless the same is there already. Raises StoreFailed."""
    record = VersionRecord(
        concept=version.name.removeprefix(PREFIX),
        version=int(version.version),
        source=version.source,
        run_id=version.run_id,
        tags={name: value for name, value in tags.items() if name not in (GATE_TAG, REVOKED_TAG)},
        description=version.description or "",
    )
    keep_version_record(store, settings, record)


def keep_version_record(store: Store, settings: Settings, record: VersionRecord) -> None:
    """Write a record, unless the same is there and whole; it follows that of the version before it."""
    path = version_record_path(settings, record.concept, record.version)
    paths = [p for p in record_paths(store, settings, record.concept) if p.endswith(".json") and p <= path]
    read = {name: _read(found.content) for name, found in store.read_records(paths[-2:]).items()}
    present = read.get(path)
    if present and present.seal and present == record:
        return
    before = next((found for name, found in sorted(read.items(), reverse=True) if name < path), None)
    previous = before.seal.digest if before and before.seal else None
    if present and present.seal:
        record = replace(record, previous=present.previous, replaced=(*present.replaced, present.seal.digest))
    else:
        record = replace(record, previous=previous)
    store.write_record(path, record.to_json(store.record_signer))


def _read(content: bytes) -> VersionRecord | None:
    try:
        return VersionRecord.from_json(content)
    except ValueError:
        return None


def version_records(store: Store, settings: Settings) -> dict[str, dict[int, VersionRecord]]:
    """What this project's registry was told, by concept and version.

    Raises:
        InputError: records that cannot be read, all of them together.
        StoreFailed: the store does not answer.
    """
    found: dict[str, dict[int, VersionRecord]] = {}
    problems = []
    paths = version_record_paths(store, settings)
    for path, content in sorted(store.read_records(paths).items()) if paths else ():
        try:
            record = VersionRecord.from_json(content.content)
        except ValueError as error:
            problems.append(f"record {path} of the store {store.address}: {error}; `conceptbooth upgrade` mends it")
            continue
        found.setdefault(record.concept, {})[record.version] = record
    if problems:
        raise InputError(*problems)
    return found

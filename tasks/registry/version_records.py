"""What a registry was told of each version, on record in the store: enough to tell it again once its database is lost.

Written when the version is made or shows something new; where they lie, tasks/registry/store_records.py says.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from tasks.project.settings import Settings
from tasks.registry.store_records import version_record_path, version_record_paths
from tasks.registry.versions import GATE_TAG, KEY_TAG, PREFIX, REVOKED_TAG, STAGE_TAGS
from tasks.store.documents import read_document
from tasks.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SCHEMA = 1


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
    schema: int = SCHEMA

    @property
    def content(self) -> str:
        """Key of the training's content."""
        return self.tags[KEY_TAG]

    @property
    def stages(self) -> dict[str, str]:
        """Keys of the stages that it was made by."""
        return {tag.removeprefix(STAGE_TAGS): key for tag, key in self.tags.items() if tag.startswith(STAGE_TAGS)}

    def to_json(self) -> bytes:
        """Stable bytes."""
        return (json.dumps(asdict(self), sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> "VersionRecord":
        """Read `to_json`'s bytes. Raises ValueError where they are none of this schema."""

        def build(values: dict[str, Any]) -> "VersionRecord":
            record = cls(**values)
            int(record.version), str(record.content)
            return record

        return read_document(content, "record of a registered version", SCHEMA, build)


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
    path, content = version_record_path(settings, record.concept, record.version), record.to_json()
    present = store.record(path)
    if present is None or present.content != content:
        store.write_record(path, content)


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
            problems.append(f"record {path} of the store {store.address}: {error}; put it back from a copy")
            continue
        found.setdefault(record.concept, {})[record.version] = record
    if problems:
        raise InputError(*problems)
    return found

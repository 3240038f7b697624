"""Which versions registries hold, as the store remembers it: for those who cannot ask another project's registry.

    registries/<registry>/registry.json               its address
    registries/<registry>/<concept>/<content>.jsonl   what a version was made from (tasks/plan/last_training.py)
    registries/<registry>/<concept>/<version>.json    what it was told of it (tasks/registry/version_records.py)

A project asks its own registry and keeps these records in step with it; those of others it believes.
"""

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tasks.files.hashing import digest_of
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion
from tasks.registry.versions import KEY_TAG
from tasks.store.blobs import Record
from tasks.store.sealed import sealed, unsealed
from tasks.store.store import Store
from tasks.tracking.address import scheme_of, shown

REGISTRIES, ADDRESS = "registries/", "registry.json"
_MADE_FROM, _TOLD = ".jsonl", ".json"


@dataclass(frozen=True, kw_only=True)
class OtherRegistry:
    """A registry of another project, or of this one at another address."""

    id: str
    address: str
    """Empty where that is not on record."""
    records: Mapping[str, Record]
    """Of its versions, by path."""

    @property
    def versions(self) -> int:
        """How many the store remembers."""
        return sum(path.endswith(_MADE_FROM) for path in self.records)

    def __str__(self) -> str:
        return f"{self.id} ({self.address or 'its address is not on record'})"


def address_of(settings: Settings) -> str:
    """What tells this project's registry from others: a file's address means another file on each machine."""
    at = f" on {socket.gethostname()}" if scheme_of(settings.mlflow_tracking_uri) == "sqlite" else ""
    return shown(settings) + at


def registry_id(settings: Settings) -> str:
    """How the store calls this project's registry."""
    return digest_of(address_of(settings))[:16]


def registry_folder(name: str) -> str:
    """Where all lies that the store remembers of a registry."""
    return f"{REGISTRIES}{name}/"


def training_record_path(settings: Settings, concept: str, content: str) -> str:
    """Where the store remembers what a version of this project's registry was made from."""
    return f"{registry_folder(registry_id(settings))}{concept}/{content}{_MADE_FROM}"


def version_record_path(settings: Settings, concept: str, version: int) -> str:
    """Where the store remembers what this project's registry was told of a version."""
    return f"{registry_folder(registry_id(settings))}{concept}/{version:06}{_TOLD}"


def write_address(store: Store, settings: Settings) -> None:
    """Say once whose records these are. Raises StoreFailed."""
    store.create_record(address_path(settings), address_record(settings))


def address_path(settings: Settings) -> str:
    """Where the store remembers the address of this project's registry."""
    return f"{registry_folder(registry_id(settings))}{ADDRESS}"


def address_record(settings: Settings) -> bytes:
    """What it remembers there."""
    return sealed("registry", {"schema": 2, "address": address_of(settings)})


def record_paths(store: Store, settings: Settings, concept: str = "") -> list[str]:
    """Records of versions of this project's registry, both kinds, of one concept or of all. Raises StoreFailed."""
    folder = registry_folder(registry_id(settings))
    listed = store.records(f"{folder}{concept}/" if concept else folder)
    return [path for path in listed if not path.endswith(ADDRESS)]


def other_registries(store: Store, settings: Settings) -> list[OtherRegistry]:
    """What the store remembers of registries that this project cannot ask. Raises StoreFailed."""
    ours = registry_id(settings)
    records = store.read_records(path for path in store.records(REGISTRIES) if path.split("/")[1] != ours)
    return [
        OtherRegistry(
            id=name,
            address=_address(records.get(f"{registry_folder(name)}{ADDRESS}")),
            records={p: r for p, r in records.items() if p.split("/")[1] == name and not p.endswith(ADDRESS)},
        )
        for name in sorted({path.split("/")[1] for path in records})
    ]


def version_record_paths(store: Store, settings: Settings) -> list[str]:
    """Records of what this project's registry was told. Raises StoreFailed."""
    return [path for path in record_paths(store, settings) if path.endswith(_TOLD)]


def stale_paths(
    settings: Settings, paths: Collection[str], registered: Mapping[str, Collection[KnownVersion]]
) -> list[str]:
    """Those of this project's records whose version its registry, asked after they were listed, does not have."""
    there = {
        path
        for versions in registered.values()
        for version in versions
        for path in (
            training_record_path(settings, version.concept, version.tags.get(KEY_TAG, "")),
            version_record_path(settings, version.concept, version.version),
        )
    }
    return [path for path in paths if path not in there]


def _address(record: Record | None) -> str:
    try:
        return str(unsealed(record.content)[0]["address"]) if record else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""

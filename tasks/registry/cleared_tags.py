"""Versions of which somebody has cleared a tag of ours in MLflow's pages: mended from what the store has on record."""

import logging
from typing import TYPE_CHECKING

from tasks.project.settings import Settings
from tasks.registry.store_records import version_record_path
from tasks.registry.version_records import VersionRecord
from tasks.registry.versions import versions
from tasks.signing.trusted_keys import TrustedKeys, load_trusted_keys
from tasks.store.store import Store, open_store
from tasks.tracking.address import is_unused
from tasks.tracking.client import connect, sorted_failures

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_log = logging.getLogger(__name__)


def mend_cleared_tags(settings: Settings, concept: str) -> None:
    """Put back, on every version of a concept, what the store says it was registered with, and say so.

    Where keys are trusted with trainings, a record that none of them signed puts nothing back. What is there is left as
    it is, also where it says otherwise: that is `lineage --verify`'s. A version of which there is no record is passed
    over; who needs its tag says that it is missing.

    Raises StoreFailed, and what `connect` raises.
    """
    if is_unused(settings):
        return
    client, store, keys = connect(settings), open_store(settings), load_trusted_keys(settings)
    with sorted_failures(settings):
        for version in versions(client, concept):
            for name, value in _lost(settings, store, keys, concept, version).items():
                client.set_model_version_tag(version.name, version.version, name, value)
                _log.warning(
                    "%s version %s: its tag %s was cleared; put back from the store's record",
                    *(version.name, version.version, name),
                )


def _lost(settings: Settings, store: Store, keys: TrustedKeys, concept: str, version: "ModelVersion") -> dict[str, str]:
    record = store.record(version_record_path(settings, concept, int(version.version)))
    if record is None:
        return {}
    try:
        told = VersionRecord.from_json(record.content)
    except ValueError:
        return {}
    if not told.is_of(concept, int(version.version)) or told.unsigned(keys):
        return {}
    return {name: value for name, value in told.own_tags.items() if name not in version.tags}

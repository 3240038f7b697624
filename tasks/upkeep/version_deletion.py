"""Deleting a registered version: refused while somebody counts on it; and what was deleted though the ledger names it.

MLflow itself deletes whatever it is told to, and keeps no history of it: the store's records tell that there was a
version.
"""

from collections.abc import Sequence

from model.errors import InputError
from tasks.production.ledger import Ledger
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import VersionReference
from tasks.registry.store_records import training_record_path, version_record_path
from tasks.registry.version_records import version_records
from tasks.registry.versions import KEY_TAG, look_up, model_name, versions
from tasks.store.blobs import Blobs
from tasks.store.store import Store
from tasks.tracking.client import connect, sorted_failures


def delete_version(
    settings: Settings, store: Store, place: Blobs, reference: VersionReference, *, dry_run: bool = False
) -> str:
    """Delete a version from the registry, and the store's records of it; returns what it is called.

    Its run and package stay in MLflow, its artefacts in the store until they are cleared up.

    Raises:
        InputError: no such version; or an alias or the production ledger names it, and nothing was deleted.
        WorkFailed: registry or stores do not answer; the same call carries on.
    """
    concept, number = reference.concept, reference.version
    if number is None:
        raise InputError(f"{reference}: say which version is to be deleted, as in {concept}/3")
    client, name = connect(settings), model_name(concept)
    with sorted_failures(settings):
        version = look_up(client, settings, reference)
        aliases = client.get_registered_model(name).aliases
    called, content = f"{name} version {number}", version.tags.get(KEY_TAG)
    problems = [
        f"{called} is {concept}@{alias}: give that alias to another version first"
        for alias, named in sorted(aliases.items())
        if int(named) == number
    ]
    if seqs := _served(read_whole_ledger(settings, place, concept), content):
        problems.append(
            f"{called} is named by the production ledger (record {', '.join(map(str, seqs))}): what was promoted "
            "stays, so that it can be proved and rolled back to; `rollback` and `takedown` take it out of use"
        )
    if problems:
        raise InputError(*problems)
    if not dry_run:
        with sorted_failures(settings):
            client.delete_model_version(name, str(number))
            left = versions(client, concept, content) if content else ()
        store.delete_record(version_record_path(settings, concept, number))
        if content and not left:
            store.delete_record(training_record_path(settings, concept, content))
    return called


def deleted_versions(settings: Settings, store: Store, ledgers: Sequence[Ledger]) -> list[str]:
    """Registered versions that the ledgers name and the registry no longer has, one sentence each.

    Raises:
        InputError: records that cannot be read.
        RegistryUnknown, StoreFailed: registry or store do not answer.
    """
    if not ledgers:
        return []
    told, there = version_records(store, settings), registered_versions(settings)
    problems = []
    for ledger in ledgers:
        present = there.get(ledger.concept, ())
        left = {version.version for version in present}, {version.tags.get(KEY_TAG) for version in present}
        for number, record in sorted(told.get(ledger.concept, {}).items()):
            seqs = _served(ledger, record.content)
            if seqs and number not in left[0] and record.content not in left[1]:
                problems.append(
                    f"{model_name(ledger.concept)}: version {number} was deleted, and the ledger names it (record "
                    f"{', '.join(map(str, seqs))})"
                )
    return problems


def _served(ledger: Ledger, content: str | None) -> list[int]:
    """Records by which this content served."""
    return [record.seq for record in ledger.records if record.release and record.content == content]

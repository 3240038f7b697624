"""Signatures beside what they are about: of each release, and of each concept's ledger as far as it goes."""

from pathlib import Path

from tasks.production.ledger import Ledger, record_path
from tasks.production.release import SIGNATURE, Release
from tasks.production.signing import NotSigned, public_key_of, sign, sign_documents, verify, verify_documents
from tasks.project.settings import Settings
from tasks.store.blobs import Blobs

_LEDGERS = "signatures/"


def release_signature_path(release: Release) -> str:
    """Where the signature of a release lies."""
    return f"{release.place}{SIGNATURE}"


def ledger_signature_path(concept: str) -> str:
    """Where the signature of a ledger lies."""
    return f"{_LEDGERS}{concept}.sig"


def sign_release(settings: Settings, place: Blobs, release: Release, folder: Path) -> None:
    """Sign a release, whose files lie in `folder`, unless the key has signed it or none is set. Raises StoreFailed."""
    if settings.signing_key is None:
        return
    path = release_signature_path(release)
    present = place.read(path)
    if present is not None:
        try:
            verify(folder, present.content, public_key_of(settings))
            return
        except NotSigned:
            pass  # by a key that is no longer ours, or damaged
    place.write(path, sign(settings, folder))


def sign_ledger(settings: Settings, place: Blobs, ledger: Ledger) -> None:
    """Sign all records of a ledger, unless the key has signed them or none is set. Raises StoreFailed."""
    if settings.signing_key is None or not ledger.records:
        return
    path, documents = ledger_signature_path(ledger.concept), ledger_documents(ledger)
    present = place.read(path)
    if present is not None:
        try:
            verify_documents(documents, present.content, public_key_of(settings))
            return
        except NotSigned:
            pass  # a record was added since
    place.write(path, sign_documents(settings, documents))


def ledger_documents(ledger: Ledger) -> dict[str, bytes]:
    """What is signed of a ledger: its records by file name."""
    return {record_path(ledger.concept, record.seq).rpartition("/")[2]: record.to_json() for record in ledger.records}

"""Signatures beside what they are about: of each release, and of each concept's ledger as far as it goes.

A signature is over names and hashes, so it is verified by those: nothing that it is about has to be unpacked for it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tasks.production.ledger import Ledger, record_path
from tasks.production.release import SIGNATURE, Release
from tasks.project.settings import Settings
from tasks.signing.keys import public_key_of
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
            verify_signature(release.hashes, present.content, public_key_of(settings))
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
            verify_signature(hashes_of_documents(documents), present.content, public_key_of(settings))
            return
        except NotSigned:
            pass  # a record was added since
    place.write(path, sign_documents(settings, documents))


def hashes_of_documents(documents: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 of documents by name: what a signature is over."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in documents.items()}


def ledger_documents(ledger: Ledger) -> dict[str, bytes]:
    """What is signed of a ledger: its records by file name."""
    return {record_path(ledger.concept, record.seq).rpartition("/")[2]: record.to_json() for record in ledger.records}


_SHOWN = 5  # names in a message


class NotSigned(Exception):
    """A signature that does not hold for what it lies beside; says why."""


def sign(settings: Settings, folder: Path) -> bytes:
    """A signature over all files in the folder by the signing key of the settings, which has to be there."""
    from model_signing import signing

    secret = settings.signing_key_password
    # the library hands the password on to one that takes bytes alone
    password = secret.get_secret_value().encode() if secret else None
    key: Any = settings.signing_key
    config = signing.Config().use_elliptic_key_signer(private_key=key, password=cast(Any, password))
    with TemporaryDirectory() as elsewhere:
        signature = Path(elsewhere) / "signature"
        config.sign(folder, signature)
        return signature.read_bytes()


def verify_signature(hashes: Mapping[str, str], signature: bytes, public_key: bytes) -> None:
    """Raise NotSigned unless the signature is this key's, over exactly these files: sha256 by name."""
    signed = _signed(signature, public_key)
    if signed == hashes:
        return
    differing = sorted(name for name in signed.keys() | hashes.keys() if signed.get(name) != hashes.get(name))
    named = ", ".join(ascii(name)[1:-1] for name in differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
    raise NotSigned(f"it was made over other files: {len(differing)} differ, are missing or were added ({named})")


def _signed(signature: bytes, public_key: bytes) -> dict[str, str]:
    """What a signature by this key is over: sha256 by name. Raises NotSigned."""
    from cryptography.exceptions import InvalidSignature

    # its verifier of folders would want the files unpacked; this is the part of it that reads signatures
    from model_signing._signing import sign_ec_key, sign_sigstore_pb

    with TemporaryDirectory() as elsewhere:
        bundle, key = Path(elsewhere) / "signature", Path(elsewhere) / "key"
        bundle.write_bytes(signature)
        key.write_bytes(public_key)
        try:
            manifest = sign_ec_key.Verifier(key).verify(sign_sigstore_pb.Signature.read(bundle))
            signed = {file.identifier: file.digest for file in manifest.resource_descriptors()}
        except InvalidSignature as error:
            raise NotSigned("the signature was not made by this key, or was changed") from error
        except Exception as error:  # whatever a library finds in what a stranger wrote
            raise NotSigned(str(error).strip() or f"it is none: {type(error).__name__}") from error
    other = sorted({digest.algorithm for digest in signed.values()} - {"sha256"})
    if other:
        raise NotSigned(f"it is over hashes of another kind: {', '.join(other)}")
    return {name: digest.digest_hex for name, digest in signed.items()}


def sign_documents(settings: Settings, documents: Mapping[str, bytes]) -> bytes:
    """`sign` for documents by name."""
    with TemporaryDirectory() as folder:
        return sign(settings, write_documents(Path(folder) / "documents", documents))


def write_documents(folder: Path, documents: Mapping[str, bytes]) -> Path:
    """Files of these names in a new folder."""
    folder.mkdir()
    for name, content in documents.items():
        (folder / name).write_bytes(content)
    return folder

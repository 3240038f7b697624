"""Signatures beside what they are about: of each release, and of each concept's ledger as far as it goes."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from model.errors import InputError
from tasks.production.ledger import Ledger, record_path
from tasks.production.release import SIGNATURE, Release
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


_CURVES = "secp256r1, secp384r1 or secp521r1"
_MAKE_ONE = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"


class NotSigned(Exception):
    """A signature that does not hold for what it lies beside; says why."""


def signing_key_problems(settings: Settings) -> list[str]:
    """What is wrong with the signing key in the settings; nothing where none is set."""
    key = settings.signing_key
    if key is None:
        return []
    problems = []
    if key.is_relative_to(settings.root) and not key.is_relative_to(settings.home):
        problems.append(f"signing_key = {key}: lies in the project, where it could be committed; move it elsewhere")
    try:
        _private_key(settings)
    except OSError as error:
        problems.append(f"signing_key = {key}: {error.strerror}")
    except (ValueError, TypeError) as error:
        problems.append(
            f"signing_key = {key}: no private key of an elliptic curve ({_CURVES}) in PEM that can be opened: {error}; "
            f"{_MAKE_ONE}; its password, if it has one, is CONCEPTBOOTH_SIGNING_KEY_PASSWORD"
        )
    return problems


def public_key_of(settings: Settings) -> bytes:
    """The public half of the signing key (PEM)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = _private_key(settings).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


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


def verify(folder: Path, signature: bytes, public_key: bytes) -> None:
    """Raise NotSigned unless the signature is this key's and lists exactly the files in the folder, as they are."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    with TemporaryDirectory() as elsewhere:
        bundle, key = Path(elsewhere) / "signature", Path(elsewhere) / "key"
        bundle.write_bytes(signature)
        key.write_bytes(public_key)
        try:
            verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, bundle)
        except InvalidSignature as error:
            raise NotSigned("the signature was not made by this key, or was changed") from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise NotSigned(str(error).strip()) from error


def verify_documents(documents: Mapping[str, bytes], signature: bytes, public_key: bytes) -> None:
    """`verify` for documents by name."""
    with TemporaryDirectory() as folder:
        verify(write_documents(Path(folder) / "documents", documents), signature, public_key)


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


def read_public_key(file: Path) -> bytes:
    """A public key (PEM). InputError where it is none that can have signed."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        content = file.read_bytes()
        if not isinstance(load_pem_public_key(content), EllipticCurvePublicKey):
            raise ValueError("of another kind")
    except OSError as error:
        raise InputError(f"--key {file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(
            f"--key {file}: no public key of an elliptic curve in PEM ({error}); the public half of a signing key "
            "comes from `openssl ec -in key.pem -pubout -out public.pem`"
        ) from error
    return content


def _private_key(settings: Settings):  # type: ignore[no-untyped-def]  # cryptography is imported where it is used
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if settings.signing_key is None:
        raise ValueError("none is set")
    secret = settings.signing_key_password
    key = load_pem_private_key(
        settings.signing_key.read_bytes(), secret.get_secret_value().encode() if secret else None
    )
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError("of another kind")
    if key.curve.name not in _CURVES:
        raise ValueError(f"curve {key.curve.name}")
    return key

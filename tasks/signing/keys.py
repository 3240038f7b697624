"""Private keys that sign documents, public keys that check them. ECDSA over SHA-256, by `cryptography`.

A site has two kinds: the release key (`signing_key`), which stays with who promotes, and a key of each worker
(`training_key`), which signs the trainings and evaluations that it makes.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from model.errors import InputError
from tasks.project.settings import Settings

Role = Literal["trainings", "releases"]
"""What a key may be trusted with: trainings, evaluations and their records; releases, ledgers, takedowns, upgrades."""
ROLES: tuple[Role, ...] = ("trainings", "releases")
SETTING: Mapping[Role, str] = {"trainings": "training_key", "releases": "signing_key"}

_CURVES = "secp256r1, secp384r1 or secp521r1"
_MAKE_ONE = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A private key that is ready to sign."""

    key: str
    """Its id: the first 16 digits of the sha256 of its public half."""
    private: Any

    def sign(self, kind: str, text: bytes) -> dict[str, str]:
        """A signature over a document; one of another `kind` can never be taken for it."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        value = self.private.sign(_signed(kind, text), ECDSA(SHA256()))
        return {"key": self.key, "value": base64.b64encode(value).decode()}


def signer_of(settings: Settings, role: Role) -> Signer | None:
    """The key of this machine for a role; None where none is set. InputError where it cannot be opened."""
    file, password = _named(settings, role)
    if file is None:
        return None
    if problems := key_problems(settings, role):
        raise InputError(*problems)
    private = load_private_key(file, password)
    return Signer(key=key_id(public_half(private)), private=private)


def is_signed_by(public_key: bytes, kind: str, text: bytes, signature: Mapping[str, str]) -> bool:
    """Whether this key (PEM) made the signature over this document."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        value = base64.b64decode(signature["value"], validate=True)
        key: Any = load_pem_public_key(public_key)
        key.verify(value, _signed(kind, text), ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError, KeyError, TypeError):
        return False
    return True


def key_id(public_key: bytes) -> str:
    """How records call a public key (PEM): the first 16 digits of the sha256 of its DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    der = load_pem_public_key(public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def public_half(private: Any) -> bytes:
    """The public half (PEM) of a private key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def public_key_of(settings: Settings, role: Role = "releases") -> bytes:
    """The public half (PEM) of this machine's key for a role, which has to be there."""
    file, password = _named(settings, role)
    if file is None:
        raise ValueError(f"no {SETTING[role]} is set")
    return public_half(load_private_key(file, password))


def key_problems(settings: Settings, role: Role) -> list[str]:
    """What is wrong with this machine's key for a role; nothing where none is set."""
    file, password = _named(settings, role)
    if file is None:
        return []
    name, problems = SETTING[role], []
    if file.is_relative_to(settings.root) and not file.is_relative_to(settings.home):
        problems.append(f"{name} = {file}: lies in the project, where it could be committed; move it elsewhere")
    try:
        load_private_key(file, password)
    except OSError as error:
        problems.append(f"{name} = {file}: {error.strerror}")
    except (ValueError, TypeError) as error:
        problems.append(
            f"{name} = {file}: no private key of an elliptic curve ({_CURVES}) in PEM that can be opened: {error}; "
            f"{_MAKE_ONE}; its password, if it has one, is CONCEPTBOOTH_{name.upper()}_PASSWORD"
        )
    return problems


def all_key_problems(settings: Settings) -> list[str]:
    """What is wrong with the keys of this machine, taken together."""
    problems = [problem for role in ROLES for problem in key_problems(settings, role)]
    return problems or list(_shared(settings))


def _shared(settings: Settings) -> Iterator[str]:
    if settings.signing_key is None or settings.training_key is None:
        return
    if public_key_of(settings, "releases") == public_key_of(settings, "trainings"):
        yield (
            "training_key is the signing_key: whoever trains could then sign releases; give each worker a key of its "
            f"own ({_MAKE_ONE})"
        )


def read_public_key(file: Path) -> bytes:
    """A public key (PEM). InputError where it is none that can have signed."""
    try:
        content = file.read_bytes()
        check_public_key(content)
    except OSError as error:
        raise InputError(f"--key {file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(
            f"--key {file}: no public key of an elliptic curve in PEM ({error}); the public half of a signing key "
            "comes from `openssl ec -in key.pem -pubout -out public.pem`"
        ) from error
    return content


def check_public_key(content: bytes) -> None:
    """ValueError unless this is a public key (PEM) that can have signed."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if not isinstance(load_pem_public_key(content), EllipticCurvePublicKey):
        raise ValueError("of another kind")


def load_private_key(file: Path, password: str | None) -> Any:
    """A private key of an elliptic curve. OSError, ValueError or TypeError where it is none that can be opened."""
    return _opened_key(file.read_bytes(), password)


@lru_cache(maxsize=8)
def _opened_key(content: bytes, password: str | None) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(content, password.encode() if password is not None else None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError("of another kind")
    if key.curve.name not in _CURVES:
        raise ValueError(f"curve {key.curve.name}")
    return key


def _named(settings: Settings, role: Role) -> tuple[Path | None, str | None]:
    """File and password of a role's key, as the settings name them."""
    file: Path | None = getattr(settings, SETTING[role])
    secret: SecretStr | None = getattr(settings, f"{SETTING[role]}_password")
    return file, secret.get_secret_value() if secret else None


def _signed(kind: str, text: bytes) -> bytes:
    """The bytes that are signed: what it is comes first, so that no document passes for one of another kind."""
    return b"conceptbooth " + kind.encode() + b"\n" + text

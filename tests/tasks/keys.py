"""Keys of elliptic curves, made for a test."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tasks.signing.keys import Signer, key_id, public_half


def write_key(file: Path, password: bytes | None = None, kind: Any = None) -> Path:
    """A private key (PEM) in a file."""
    key = kind or ec.generate_private_key(ec.SECP256R1())
    how = BestAvailableEncryption(password) if password else NoEncryption()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    return file


def signer() -> Signer:
    """A key that signs at once."""
    private = ec.generate_private_key(ec.SECP256R1())
    return Signer(key=key_id(public_half(private)), private=private)

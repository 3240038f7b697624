"""Documents that carry a seal over all of their text, and where a key is set a signature: manifests, ledgers, records.

A seal finds damage: no byte can change unseen. It proves nobody, since anybody can make one; a signature by a key that
the project trusts does (tasks/signing). A document from before there were seals reads as before, and says so; its
schema, where it has one, is 1.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from model.reading.documents import parse_json
from tasks.signing.keys import Role, Signer
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys
from tasks.store.shapes import check_shape

CHANGED = "its bytes have changed since it was sealed"
_SIGNATURE = Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What a document carries beside its content."""

    digest: str
    """sha256 over content and signature; a document that follows this one names it."""
    signature: Mapping[str, str] | None
    """Key and value; None where it was made without a key."""
    signed: bytes
    """What a signature is over."""


def sealed(kind: str, content: Mapping[str, Any], signer: Signer | None = None) -> bytes:
    """A document as stable bytes: sorted keys, then a signature where there is a signer, then a seal over all of it."""
    text = json_text(content)
    if signer is not None:
        content = {**content, "signature": signer.sign(kind, text)}
        text = json_text(content)
    return json_text({**content, "seal": hashlib.sha256(text).hexdigest()})


def unsealed(document: bytes) -> tuple[dict[str, Any], Seal | None]:
    """The content of a document and its seal; None in its place if it was written before there were seals.

    Raises ValueError where the bytes are not exactly those that were sealed, or no JSON object.
    """
    content = parse_json(document, "it")
    if not isinstance(content, dict):
        raise ValueError("is no JSON object")
    if "seal" not in content:
        if content.get("schema", 1) != 1:
            raise ValueError(CHANGED)
        return content, None
    digest = content.pop("seal")
    if digest != hashlib.sha256(json_text(content)).hexdigest() or document != json_text({**content, "seal": digest}):
        raise ValueError(CHANGED)
    signature = content.pop("signature", None)
    check_shape(_SIGNATURE, signature, "signature")
    return content, Seal(digest=digest, signature=signature, signed=json_text(content))


def unsigned_because(keys: TrustedKeys, roles: Collection[Role], kind: str, seal: Seal) -> str | None:
    """Why no key that is trusted with one of these roles stands for a document; None where one does, or none is asked.

    `roles` begins with the one that decides whether signatures are asked for.
    """
    if not keys.asks_for(next(iter(roles))):
        return None
    told = [keys.who_signed(role, kind, seal.signed, seal.signature) for role in roles]
    return None if any(isinstance(who, TrustedKey) for who in told) else str(told[0])


def sealed_lines(kind: str, body: bytes, facts: Mapping[str, Any], signer: Signer | None = None) -> bytes:
    """Lines of JSON (`body`, each with its end) and one more with `facts` about them, signature and seal over all."""
    told = dict(facts)
    if signer is not None:
        told["signature"] = signer.sign(kind, body + _line(told))
    return body + _line({**told, "seal": hashlib.sha256(body + _line(told)).hexdigest()})


def unsealed_lines(document: bytes, lines: int) -> tuple[bytes, dict[str, Any], Seal | None]:
    """The `lines` lines of a body, what the last line says of them, and the seal; raises as `unsealed`."""
    parts = document.split(b"\n", lines)
    if len(parts) <= lines:
        raise ValueError("it is cut short")
    body, last = document[: len(document) - len(parts[-1])], parts[-1]
    if not last:
        if b'"seal": ' in parts[-2]:
            raise ValueError(CHANGED)
        return body, {}, None
    told = parse_json(last, "it")
    if not isinstance(told, dict) or "seal" not in told:
        raise ValueError(CHANGED)
    digest = told.pop("seal")
    if digest != hashlib.sha256(body + _line(told)).hexdigest() or last != _line({**told, "seal": digest}):
        raise ValueError(CHANGED)
    signature = told.pop("signature", None)
    check_shape(_SIGNATURE, signature, "signature")
    return body, told, Seal(digest=digest, signature=signature, signed=body + _line(told))


def json_text(content: Mapping[str, Any]) -> bytes:
    """Stable text: sorted keys, so that equal contents are equal bytes. ValueError for what JSON has no word for."""
    return (json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, allow_nan=False) + "\n").encode()

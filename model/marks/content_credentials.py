"""Content Credentials: a signed C2PA manifest in a picture, by the library c2pa-python, which is an extra.

The manifest says what the mark says (model/marks/marking.py), and a signature covers it and every byte of the picture.
Key and certificates are the machine's own; a viewer trusts them as far as it trusts who issued the certificate.
"""

import io
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from model.errors import InputError
from model.marks.marking import AI_MADE, SYSTEM, Mark, marked_png

if TYPE_CHECKING:
    import c2pa

KEY_VARIABLE, CERTIFICATES_VARIABLE = "CONCEPTBOOTH_C2PA_KEY", "CONCEPTBOOTH_C2PA_CERTIFICATES"
INSTALL = "pip install 'conceptbooth[c2pa]'"
_PNG = "image/png"
_SIGNATURE_BYTES, _CHUNK = 8, b"caBX"
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_NO_THUMBNAIL = {"builder": {"thumbnail": {"enabled": False}}}
_CONCEPT = "org.conceptbooth.picture"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What the manifest in a picture says, as far as the library could prove it."""

    state: str
    """"Trusted": signed by one whom this machine trusts; "Valid": signed, unchanged; "Invalid"; "Unchecked"."""
    signed_by: str | None = None
    at: str | None = None
    """When, where a time stamp authority says it."""
    problems: tuple[str, ...] = ()


class PictureSigner:
    """Signs pictures with one key."""

    def __init__(self, algorithm: str, key: bytes, certificates: bytes) -> None:
        self._facts = {"alg": algorithm, "private_key": key, "sign_cert": certificates, "ta_url": None}

    @cached_property
    def _signer(self) -> "c2pa.Signer":
        import c2pa

        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(**self._facts))

    def signed(self, png: bytes, mark: Mark) -> bytes:
        """The PNG with a manifest. Another call gives other bytes: signatures are random."""
        import c2pa

        context = c2pa.Context(c2pa.Settings.from_dict(_NO_THUMBNAIL))
        signed = io.BytesIO()
        c2pa.Builder(json.dumps(_manifest(mark)), context).sign(self._signer, _PNG, io.BytesIO(png), signed)
        return signed.getvalue()


def open_signer(key: Path | None, certificates: Path | None) -> PictureSigner | None:
    """What signs pictures; None where nothing is configured.

    `key` is a private key of an elliptic curve (PEM, no password), `certificates` the chain from its certificate up
    (PEM). A picture is signed for a trial.

    Raises:
        InputError: one of the two is missing, cannot be read, or does not sign; the library is not installed.
    """
    if key is None and certificates is None:
        return None
    if key is None or certificates is None:
        lacking = KEY_VARIABLE if key is None else CERTIFICATES_VARIABLE
        raise InputError(f"{lacking} is not set: pictures are signed with a key and its certificates, or not at all")
    try:
        import c2pa
    except ImportError as error:
        raise InputError(f"{KEY_VARIABLE} is set, and c2pa-python is not installed: {INSTALL}") from error
    contents = []
    for name, file in ((KEY_VARIABLE, key), (CERTIFICATES_VARIABLE, certificates)):
        try:
            contents.append(file.read_bytes())
        except OSError as error:
            raise InputError(f"{name} = {file}: {error.strerror}") from error
    signer = PictureSigner(_algorithm(key, contents[0]), *contents)
    trial = Mark(concept="trial", content="", version=None, prompt="{}", text="", seed=0, index=0)
    try:
        signer.signed(marked_png(Image.new("RGB", (16, 16)), trial), trial)
    except c2pa.C2paError as error:
        raise InputError(
            f"{CERTIFICATES_VARIABLE} = {certificates}: does not sign pictures with {key.name} ({error}); C2PA wants "
            "the key's own certificate first, for digital signatures, issued by another, then its issuers"
        ) from error
    return signer


def read_credentials(png: bytes) -> Credentials | None:
    """What the manifest in a PNG says; None where there is none. "Unchecked" where the library is not installed."""
    if without_manifest(png) == png:
        return None
    try:
        import c2pa
    except ImportError:
        return Credentials(state="Unchecked", problems=(f"c2pa-python is not installed: {INSTALL}",))
    try:
        report = json.loads(c2pa.Reader(_PNG, io.BytesIO(png)).json())
    except c2pa.C2paError as error:
        return Credentials(state="Invalid", problems=(str(error),))
    signature: dict[str, Any] = report["manifests"][report["active_manifest"]].get("signature_info", {})
    statuses = report.get("validation_status", ())
    names = [signature[name] for name in ("common_name", "issuer") if signature.get(name)]
    return Credentials(
        state=report["validation_state"],
        signed_by=", ".join(names) or None,
        at=signature.get("time"),
        problems=tuple(str(status.get("explanation", status["code"])) for status in statuses),
    )


def without_manifest(png: bytes) -> bytes:
    """The PNG as it was before it was signed; bytes that are no PNG stay as they are."""
    parts, start = [png[:_SIGNATURE_BYTES]], _SIGNATURE_BYTES
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")  # length, name, content, checksum
        if png[start + 4 : start + 8] != _CHUNK:
            parts.append(png[start:end])
        start = end
    return b"".join(parts)


def _algorithm(file: Path, key: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, password=None)
        if not isinstance(private, EllipticCurvePrivateKey):
            raise ValueError("of another kind")
        return _ALGORITHMS[private.curve.name]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{KEY_VARIABLE} = {file}: no private key of an elliptic curve ({', '.join(_ALGORITHMS)}) in PEM without a "
            f"password ({error})"
        ) from error


def _manifest(mark: Mark) -> dict[str, Any]:
    agent = {"name": SYSTEM, "version": f"concept {mark.concept} {mark.content[:12]}"}
    created = {"action": "c2pa.created", "digitalSourceType": AI_MADE, "softwareAgent": agent}
    return {
        "claim_generator_info": [{"name": SYSTEM}],
        "format": _PNG,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": _CONCEPT, "data": asdict(mark)},
        ],
    }

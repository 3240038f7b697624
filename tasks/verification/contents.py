"""What a production store holds, for whoever has to say so: concepts, releases, their files, images and signers.

Read from the store alone, beside `tasks.verification.releases`, which says whether any of it is true. What a stranger
may have written is told as text and leads to nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from model.errors import InputError
from tasks.production import release as releases
from tasks.production.ledger import KIND, Ledger, Promotion, concepts_in, examine_ledger
from tasks.production.release import LINEAGE, Release, read_release
from tasks.production.signatures import NotSigned, release_signature_path, verify_signature
from tasks.signing.keys import is_signed_by, key_id
from tasks.store.blobs import Blobs
from tasks.store.manifest import Manifest

_PREPARED = f"{LINEAGE}/prepare.json"
_EVALUATED = f"{LINEAGE}/evaluate.json"


@dataclass(frozen=True, kw_only=True)
class HeldRelease:
    """One release, and what the ledger says of it."""

    id: str
    state: str
    """serves, earlier, taken back, revoked."""
    version: int | None
    """Of the registry in which it was trained."""
    production_version: int | None
    content: str | None
    records: tuple[int, ...]
    """Numbers of the ledger's records that name it."""
    signed_by: str | None
    """Id of the key that was asked about, where the signature is its; None where it is not."""
    files: tuple[Mapping[str, Any], ...] = ()
    """name, bytes, sha256."""
    images: tuple[Mapping[str, Any], ...] = ()
    """made_from with its sha256, width and height as it was trained on, and the name that the original had."""
    stated: Mapping[str, Any] = field(default_factory=dict)
    """Of the images, by their owner: licence, source, consent."""
    base: str | None = None
    commit: str | None = None
    problem: str | None = None
    """Why its files cannot be told."""


@dataclass(frozen=True, kw_only=True)
class HeldConcept:
    """One ledger, newest record first, and the releases that it names, the one that serves first."""

    concept: str
    serves: int | None
    """Version that serves."""
    newest: Mapping[str, Any] | None
    """seq, seal and at of the newest record: an older store put back as a whole is signed as well."""
    records: tuple[Mapping[str, Any], ...]
    """seq, at, action, version, release, reason, by, approved_by, overridden, signed_by."""
    releases: tuple[HeldRelease, ...]


def read_contents(place: Blobs, public_key: bytes) -> tuple[HeldConcept, ...]:
    """All that a production store holds; `public_key` (PEM) decides what counts as signed. Raises StoreFailed."""
    return tuple(_concept(place, examine_ledger(place, concept)[0], public_key) for concept in concepts_in(place))


def contents_document(contents: tuple[HeldConcept, ...]) -> list[dict[str, Any]]:
    """The same as data."""
    return [asdict(concept) for concept in contents]


def _concept(place: Blobs, ledger: Ledger, public_key: bytes) -> HeldConcept:
    named: dict[str, list[Promotion]] = {}
    for record in ledger.records:
        if record.release:
            named.setdefault(record.release, []).append(record)
    head, serving = ledger.head, ledger.serving
    held = [_release(place, ledger, named[identity], identity, public_key) for identity in reversed(named)]
    return HeldConcept(
        concept=ledger.concept,
        serves=serving.version if serving else None,
        newest={"seq": head.seq, "seal": head.seal, "at": head.at} if head else None,
        records=tuple(_record(record, public_key) for record in reversed(ledger.records)),
        releases=tuple(sorted(held, key=lambda release: release.state != "serves")),
    )


def _record(record: Promotion, public_key: bytes) -> dict[str, Any]:
    signed = record.signature and is_signed_by(public_key, KIND, record.signed_text, record.signature)
    told = ("seq", "at", "action", "version", "release", "reason", "by", "approved_by")
    facts = {name: getattr(record, name) for name in told}
    return facts | {"overridden": dict(record.overridden), "signed_by": key_id(public_key) if signed else None}


def _release(place: Blobs, ledger: Ledger, records: list[Promotion], identity: str, public_key: bytes) -> HeldRelease:
    newest = records[-1]
    told: dict[str, Any] = {
        "id": identity,
        "state": _state(ledger, newest),
        "version": newest.version,
        "production_version": newest.production_version,
        "content": newest.content,
        "records": tuple(record.seq for record in records),
    }
    try:
        release = read_release(place, ledger.concept, identity)
    except InputError as error:
        return HeldRelease(**told, signed_by=None, problem=str(error))
    prepared, evaluated = (_manifest(place, release, name) for name in (_PREPARED, _EVALUATED))
    base = evaluated.models.get("base") if evaluated else None
    return HeldRelease(
        **told,
        signed_by=_signer(place, release, public_key),
        files=tuple(
            {"name": name, "bytes": file.size, "sha256": file.sha256} for name, file in sorted(release.files.items())
        ),
        images=tuple(_images(prepared)) if prepared else (),
        stated={name: value for name, value in prepared.stated.items() if isinstance(value, str)} if prepared else {},
        base=str(base.get("reference")) if isinstance(base, Mapping) else None,
        commit=str(evaluated.git.get("commit")) if evaluated and evaluated.git else None,
    )


def _state(ledger: Ledger, record: Promotion) -> str:
    if ledger.serving and ledger.serving.release == record.release:
        return "serves"
    if record.content in ledger.revoked:
        return "revoked"
    return "taken back" if record.content in ledger.withdrawn else "earlier"


def _signer(place: Blobs, release: Release, public_key: bytes) -> str | None:
    try:
        signature = place.read(release_signature_path(release))
        if signature is None:
            return None
        verify_signature(release.hashes, signature.content, public_key)
    except (NotSigned, InputError):  # none, another's, or something else in its place
        return None
    return key_id(public_key)


def _manifest(place: Blobs, release: Release, name: str) -> Manifest | None:
    """None where it is not as the release says: `check_place` names that."""
    try:
        return Manifest.from_json(releases.read_file(place, release, name).decode())
    except (ValueError, InputError, RecursionError):
        return None


def _images(prepared: Manifest) -> Iterator[dict[str, Any]]:
    stated = prepared.stated.get("images")
    originals = {
        each["file"]: each.get("original")
        for each in (stated if isinstance(stated, list | tuple) else ())
        if isinstance(each, Mapping) and isinstance(each.get("file"), str)
    }
    for image in prepared.images:
        if isinstance(image, Mapping):
            facts = {name: image.get(name) for name in ("made_from", "sha256", "width", "height")}
            yield {**facts, "original": originals.get(str(facts["made_from"]))}

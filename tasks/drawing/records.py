"""Records of what was drawn, by which a picture leads back to its version when its metadata is gone.

    drawn/<concept>/<day>-<random>.json     sealed, signed where a key is set; one for the pictures of a call

Each says what a picture looks like (a perceptual hash, nothing that the picture could be made from), its seed, its
version and when; the prompt only where the setting `drawn_records` asks for it. Without a signature that is a claim:
whoever can write to the store can make one.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tasks.files.names import proper_name, proper_sha256
from tasks.signing.keys import ROLES
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys
from tasks.store.blobs import Record
from tasks.store.documents import read_values
from tasks.store.sealed import Seal, sealed, unsealed
from tasks.store.shapes import check_fields
from tasks.store.store import Store

DRAWN = "drawn/"
KIND = "drawn pictures"
"""What a signature is over."""
SCHEMA = 1
MOST_PICTURES = 256
"""In one record; more are kept in several."""
MOST_BYTES = 2**20
"""Of a record: larger ones are none of ours, and are not read."""


@dataclass(frozen=True, kw_only=True)
class DrawnLook:
    """One picture of a record."""

    fingerprint: str
    """Its perceptual hash, after the name of the method (`tasks.concepts.image_checks.named_fingerprint`)."""
    seed: int
    index: int
    prompt: str | None = None
    """As the person wrote it; None where prompts are not kept."""


@dataclass(frozen=True, kw_only=True)
class DrawnRecord:
    """What a version drew."""

    concept: str
    content: str
    """Key of the training's content: versions of the same content carry it in every registry."""
    version: int | None
    """Of the registered model, where it was known."""
    at: str
    """UTC, ISO 8601; of pictures that were taken in, when that was."""
    told_by: Literal["drawing", "mark"]
    """Who says it: this project while it drew them, or the mark in a picture that came from elsewhere."""
    pictures: tuple[DrawnLook, ...]

    def content_as_kept(self) -> dict[str, Any]:
        """Plain values, by the record's schema."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class KeptRecord:
    """A record as the store has it."""

    path: str
    drawn: DrawnRecord
    seal: Seal

    def signer(self, keys: TrustedKeys) -> TrustedKey | str:
        """The trusted key that stands for it, or why none does, in words."""
        told = [keys.who_signed(role, KIND, self.seal.signed, self.seal.signature) for role in ROLES]
        return next((who for who in told if isinstance(who, TrustedKey)), told[0])


def keep_drawn(
    store: Store,
    pictures: Sequence[DrawnLook],
    *,
    concept: str,
    content: str,
    version: int | None,
    told_by: Literal["drawing", "mark"] = "drawing",
) -> list[str]:
    """Keep what a version drew; the records' paths.

    Raises:
        ImproperName: a concept or content that cannot be one.
        StoreFailed: the store does not take it.
    """
    concept, content = proper_name(concept), proper_sha256(content)
    now, paths = datetime.now(UTC), []
    for start in range(0, len(pictures), MOST_PICTURES):
        record = DrawnRecord(
            concept=concept,
            content=content,
            version=version,
            at=now.isoformat(timespec="seconds"),
            told_by=told_by,
            pictures=tuple(pictures[start : start + MOST_PICTURES]),
        )
        path = f"{DRAWN}{concept}/{now:%Y-%m-%d}-{secrets.token_hex(8)}.json"
        store.create_record(path, sealed(KIND, record.content_as_kept(), store.record_signer))
        paths.append(path)
    return paths


def read_drawn(path: str, record: Record) -> KeptRecord:
    """Read a record. Raises ValueError, in words, where it is none, was changed, or lies in another's place."""
    if len(record.content) > MOST_BYTES:
        raise ValueError(f"has {len(record.content)} bytes, at most {MOST_BYTES} are read")
    values, seal = unsealed(record.content)

    def build(content: dict[str, Any]) -> DrawnRecord:
        del content["schema"]
        check_fields(DrawnRecord, content)
        looks = tuple(DrawnLook(**look) for look in content.pop("pictures"))
        return DrawnRecord(**content, pictures=looks)

    if seal is None:
        raise ValueError("is not sealed")
    drawn = read_values(values, "record of drawn pictures", (SCHEMA,), build)
    proper_sha256(drawn.content)
    if path.split("/")[1:-1] != [drawn.concept]:
        raise ValueError(f"is about {drawn.concept!a:.80}, put in the place of another")
    if len(drawn.pictures) > MOST_PICTURES:
        raise ValueError(f"holds {len(drawn.pictures)} pictures, at most {MOST_PICTURES} are kept in one")
    return KeptRecord(path=path, drawn=drawn, seal=seal)

"""The production ledger: what serves of each concept since when, why, and who said so. It only ever grows.

    promotions/<concept>/<seq>.json     created exclusively: of two who write the next record at once, one wins

Each record carries a seal over its own content and the seal of the record before it, so that no record can be changed,
taken out or put in between without breaking the chain after it.
"""

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from textwrap import shorten
from typing import Any, Literal, Self

from model.errors import InputError
from tasks.concepts.concepts import NOT_STATED
from tasks.signing.keys import Signer
from tasks.store.blobs import Blobs, is_record
from tasks.store.documents import read_document
from tasks.store.sealed import CHANGED, json_text
from tasks.store.shapes import check_fields

LEDGER = "promotions/"
SCHEMA = 1
KIND = "promotion"
"""What a record's signature is over."""
_ADDED_LATER = ("signature", "accepts")
"""Not in the bytes of records that do not have them: those of before would not be as they were sealed."""
_MOST_LETTERS = 1000  # of a reason in a tag, of which MLflow keeps 5,000
_NUMBER = re.compile(r"(\d{6,})\.json")
Action = Literal["promote", "rollback", "revoke", "repair"]


class LedgerDamaged(InputError):
    """A ledger that is not as it was written; nothing may be built on it."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One record: since then `release` serves, or nothing does."""

    concept: str
    seq: int
    action: Action
    version: int | None
    """Of the development registry, from which it was promoted."""
    content: str | None
    """Key of the training's content."""
    release: str | None
    """Identity of the release: the sha256 of its release.json. None: nothing serves."""
    model: str | None
    """Registered name in the production registry."""
    production_version: int | None
    stages: Mapping[str, str] = field(default_factory=dict)
    """Key of each stage's artefact, which nobody may clear away."""
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Means with the ends of their 95 % intervals, None where a single picture tells of none."""
    withdraws: tuple[str, ...] = ()
    """Contents that this takes out of service: they come back only by an override of the gate."""
    gates: tuple[Mapping[str, Any], ...] = ()
    """What every gate said, with its figures."""
    overridden: Mapping[str, str] = field(default_factory=dict)
    """Gates that were passed over, with the reason."""
    approved_by: str | None = None
    reason: str = NOT_STATED
    by: str
    at: str
    """UTC, ISO 8601."""
    previous: str | None
    """Seal of the record before this one; None for the first."""
    accepts: tuple[str, ...] = ()
    """Of a repair: what registries remembered of a ledger that is gone, each number and seal."""
    signature: Mapping[str, str] | None = None
    """Of who wrote it, where a key was set; it stands for all records before it too, since this one seals them."""
    schema: int = SCHEMA

    @property
    def words(self) -> str:
        """When, where it stands, and why: as a tag or a message says it."""
        return f"{self.at[:10]} (record {self.seq}): {shorten(self.reason, _MOST_LETTERS, placeholder=' ...')}"

    @property
    def seal(self) -> str:
        """sha256 over all that the record says."""
        return hashlib.sha256(json_text(self._content())).hexdigest()

    @property
    def mark(self) -> str:
        """How it is remembered: its number and seal."""
        return f"{self.seq} {self.seal}"

    @property
    def signed_text(self) -> bytes:
        """What the signature is over: all else that it says."""
        return json_text({name: value for name, value in self._content().items() if name != "signature"})

    def signed_by(self, signer: Signer | None) -> Self:
        """The same with the signature of who writes it, where there is a key."""
        unsigned = replace(self, signature=None)
        return replace(unsigned, signature=signer.sign(KIND, unsigned.signed_text)) if signer else unsigned

    def to_json(self) -> bytes:
        """Stable bytes with the seal."""
        return json_text(self._content() | {"seal": self.seal})

    def _content(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value or name not in _ADDED_LATER}

    @classmethod
    def from_json(cls, content: bytes) -> "Promotion":
        """Read `to_json`'s bytes. Raises ValueError where they are not exactly what was sealed."""

        def build(values: dict[str, Any]) -> "Promotion":
            values.pop("seal")
            check_fields(cls, values)
            return cls(**values | {name: tuple(values.get(name, ())) for name in ("withdraws", "gates", "accepts")})

        record = read_document(content, "record of a promotion", SCHEMA, build)
        if record.to_json() != content:
            raise ValueError(CHANGED)
        return record


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The records of one concept, oldest first; numbered from 1."""

    concept: str
    records: tuple[Promotion, ...]

    @property
    def head(self) -> Promotion | None:
        """The newest record."""
        return self.records[-1] if self.records else None

    @property
    def serving(self) -> Promotion | None:
        """The record that says what serves now; None where nothing does."""
        return self.head if self.head and self.head.release else None

    @property
    def ever_served(self) -> bool:
        """Whether any record had something serve; one that only revokes may be the first."""
        return any(record.release for record in self.records)

    @property
    def withdrawn(self) -> dict[str, Promotion]:
        """Contents that were taken out of service and not promoted again since, with the record that did it."""
        return self._marked("rollback", "revoke", "repair")

    @property
    def revoked(self) -> dict[str, Promotion]:
        """Contents that must never serve again, with the record that says so."""
        return {key: record for record in self.records if record.action == "revoke" for key in record.withdraws}

    def find(self, seq: int) -> Promotion:
        """The record with this number. InputError, naming those there are, if there is none."""
        if 1 <= seq <= len(self.records):
            return self.records[seq - 1]
        there = f"they go from 1 to {len(self.records)}" if self.records else "nothing was promoted yet"
        raise InputError(f"concept '{self.concept}' has no promotion {seq}; {there}: `conceptbooth releases`")

    def before(self) -> Promotion | None:
        """The newest earlier record whose content is another one than serves now and was not taken back."""
        now = self.serving.content if self.serving else None
        out = self.withdrawn
        fit = (r for r in reversed(self.records) if r.release and r.content != now and r.content not in out)
        return next(fit, None)

    def _marked(self, *actions: str) -> dict[str, Promotion]:
        marked: dict[str, Promotion] = {}
        for record in self.records:
            if record.action == "promote" and record.content:
                marked.pop(record.content, None)
            elif record.action in actions:
                marked |= dict.fromkeys(record.withdraws, record)
        return marked


def record_path(concept: str, seq: int) -> str:
    """Where a record lies in the production store."""
    return f"{LEDGER}{concept}/{seq:06}.json"


def read_ledger(place: Blobs, concept: str) -> Ledger:
    """The ledger of a concept, its chain verified.

    Raises:
        LedgerDamaged: it is not as it was written; every broken place is named.
        StoreFailed: it cannot be read.
    """
    ledger, problems = examine_ledger(place, concept)
    if problems:
        hint = f"compare it with a copy of {place.where(f'{LEDGER}{concept}/')}; nothing is promoted on top of it"
        raise LedgerDamaged(*(f"{problem}; {hint}" for problem in problems))
    return ledger


def examine_ledger(place: Blobs, concept: str) -> tuple[Ledger, list[str]]:
    """The records of a ledger that can be read, and what is wrong with it, one sentence each. Raises StoreFailed."""
    paths = sorted(entry.name for entry in place.entries(f"{LEDGER}{concept}/") if is_record(entry.name))
    contents = place.read_all(paths)
    records: list[Promotion] = []
    problems: list[str] = []
    for path in paths:
        try:
            record = Promotion.from_json(contents[path].content)
            if (number := _NUMBER.fullmatch(path.rpartition("/")[2])) and int(number[1]) != record.seq:
                raise ValueError(f"is record {record.seq}, put in the place of another")
            records.append(record)
        except (ValueError, KeyError) as error:
            problems.append(f"ledger {place.where(path)}: {error}")
    problems += _broken_links(place, concept, paths, records)
    return Ledger(concept=concept, records=tuple(records)), problems


def concepts_in(place: Blobs) -> list[str]:
    """Concepts that have a ledger. Raises StoreFailed."""
    return sorted({entry.name.split("/")[1] for entry in place.entries(LEDGER) if is_record(entry.name)})


def newest_records(place: Blobs) -> dict[str, Promotion]:
    """The newest record of each concept's ledger, by one listing and one round of reads; enough for an overview.

    A record that is not as it was sealed is left out; whether the ledger is whole, `read_ledger` says.
    Raises StoreFailed.
    """
    newest: dict[str, str] = {}
    for entry in place.entries(LEDGER):
        if is_record(entry.name) and _NUMBER.fullmatch(entry.name.rpartition("/")[2]):
            concept = entry.name.split("/")[1]
            newest[concept] = max(newest.get(concept, ""), entry.name)
    contents = place.read_all(newest.values()) if newest else {}
    found = {}
    for concept, path in newest.items():
        with contextlib.suppress(ValueError, KeyError):
            found[concept] = Promotion.from_json(contents[path].content)
    return found


def append(place: Blobs, promotion: Promotion) -> bool:
    """Add a record; False, and nothing is written, if another took its number meanwhile. Raises StoreFailed."""
    return place.create(record_path(promotion.concept, promotion.seq), promotion.to_json())


def _broken_links(place: Blobs, concept: str, paths: Sequence[str], records: Sequence[Promotion]) -> list[str]:
    numbers = {path: int(found[1]) for path in paths if (found := _NUMBER.fullmatch(path.rpartition("/")[2]))}
    strange = sorted(set(paths) - numbers.keys())
    missing = sorted(set(range(1, max(numbers.values(), default=0))) - set(numbers.values()))
    problems = [
        f"ledger {place.where(record_path(concept, seq))}: is missing, and later records are there" for seq in missing
    ]
    problems += [f"ledger {place.where(path)}: does not belong there" for path in strange]
    by_seq = {record.seq: record for record in records}
    for record in records:
        path = place.where(record_path(concept, record.seq))
        if record.concept != concept:
            problems.append(f"ledger {path}: is a record of '{record.concept}'")
        before = by_seq.get(record.seq - 1)
        if record.seq == 1 and record.previous is not None:
            problems.append(f"ledger {path}: is called the first and follows another one")
        if before is not None and record.previous != before.seal:
            problems.append(
                f"ledger {path}: does not follow record {before.seq} as that is now; one of them was changed"
            )
    return problems

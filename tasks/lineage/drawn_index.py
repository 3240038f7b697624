"""Which record of what was drawn a picture goes back to, by its looks: an index over the records, never their judge.

Like the lineage's index it lies in `settings.home`, is compared with a listing of the store at each use, and may be
deleted. What it finds is read again from the store, with seal and signature, before it is told.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from PIL import Image

from model.errors import InputError
from tasks.concepts.image_checks import FINGERPRINT, NEAR_BITS
from tasks.drawing.records import DRAWN, KeptRecord, read_drawn
from tasks.files.hashing import digest_of
from tasks.files.sqlite_files import derived_database
from tasks.lineage.looks import Likeness, candidates, is_comparable, patterns_of, whole_likenesses
from tasks.project.settings import Settings
from tasks.signing.keys import ROLES
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys, load_trusted_keys
from tasks.store.store import Store

HIGH_BITS, MEDIUM_BITS, APART_BITS = 12, 24, 6
"""Of 255: how far a picture may be from a record to be told with that confidence, and how much nearer it has to be than
a record of any other version. Of 280 pictures of two concepts and three versions, copies (JPEG, another size) were at
most 8 bits from their own record and at least 18 from any other."""
MOST_FOR_PARTS = 100_000
"""Pictures among which parts are looked for, the newest ones: more would take longer than a few seconds."""
_MOST_READ, _BATCH, _SCHEMA = 64, 2000, 1
_TABLES = """
    CREATE TABLE record (path TEXT PRIMARY KEY, problem TEXT);
    CREATE TABLE look (path TEXT, place INTEGER, pattern BLOB, signed INTEGER);
    CREATE INDEX by_path ON look (path)
"""
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A record that a picture goes back to."""

    concept: str
    content: str
    version: int | None
    at: str
    told_by: str
    """"drawing", or "mark" where the record was made from the mark of a picture that came from elsewhere."""
    seed: int
    index: int
    prompt: str | None
    record: str
    """Path in the store."""
    confidence: Confidence
    """That the picture is the one of the record."""
    how: str
    """In words: how it is like that."""
    bits: int
    signed_by: str | None
    """The trusted key that stands for the record; None: it is a claim."""
    unsigned: str | None
    """Why no trusted key does, in words."""
    keys_asked: bool
    """Whether keys are trusted here at all, so that an unsigned record is worth nothing."""
    others: tuple[str, ...]
    """Other versions with a record as near, or nearly so, in words."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class DrawnIndex:
    """Questions to the index; made by `open_drawn`, which brings it up to date."""

    def __init__(self, store: Store, trusted: TrustedKeys, database: sqlite3.Connection) -> None:
        self._store, self._trusted, self._database = store, trusted, database

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not known, in sentences."""
        found = self._database.execute("SELECT path, problem FROM record WHERE problem IS NOT NULL ORDER BY path")
        told = [f"record {path} of the store: {problem}" for path, problem in found.fetchmany(1)]
        more = len(found.fetchall())
        return (
            (f"not read, so not known: {told[0]}" + (f"; and {more} more such records" if more else ""),)
            if told
            else ()
        )

    @property
    def pictures(self) -> int:
        """How many pictures are on record."""
        return len(self._places)

    def recognise(self, picture: Image.Image) -> Recognised | None:
        """The record that a picture goes back to; None where none looks like it. Raises StoreFailed."""
        if not self._places:
            return None
        near = whole_likenesses(picture, self._patterns)
        if not near:
            start = max(0, len(self._places) - MOST_FOR_PARTS)
            parts = candidates(picture, self._patterns[start:])
            near = {start + place: likeness for place, likeness in parts if likeness.bits <= NEAR_BITS}
        return self._told(near)

    def _told(self, near: dict[int, Likeness]) -> Recognised | None:
        # those that were signed first: however many others anybody writes, they push none of them out
        nearest = sorted(near, key=lambda place: (not self._rows[place][3], near[place].bits))[:_MOST_READ]
        kept = self._read_again({self._places[place][0] for place in nearest})
        found = []  # who stands for it, how near, which record and picture
        for place in nearest:
            path, number = self._places[place]
            record = kept.get(path)
            if record is None or number >= len(record.drawn.pictures):
                continue
            if record.drawn.pictures[number].fingerprint == f"{FINGERPRINT}:{self._patterns[place].tobytes().hex()}":
                found.append((record.signer(self._trusted), near[place], record, record.drawn.pictures[number]))
        if not found:
            return None
        found.sort(key=lambda each: (isinstance(each[0], str), each[1].bits))
        who, likeness, record, look = found[0]
        rivals: dict[str, tuple[int, str]] = {}
        for other_who, other, other_record, other_look in found[1:]:
            drawn = other_record.drawn
            if drawn.content == record.drawn.content or (isinstance(who, TrustedKey) and isinstance(other_who, str)):
                continue  # nobody takes away from a signed record by writing unsigned ones
            named = f"{drawn.concept} version {drawn.version or drawn.content[:12]}, seed {other_look.seed}"
            rivals.setdefault(drawn.content, (other.bits, f"{named} ({other.bits} bits)"))
        return Recognised(
            concept=record.drawn.concept,
            content=record.drawn.content,
            version=record.drawn.version,
            at=record.drawn.at,
            told_by=record.drawn.told_by,
            seed=look.seed,
            index=look.index,
            prompt=look.prompt,
            record=record.path,
            confidence=_confidence(likeness, min((bits for bits, _ in rivals.values()), default=None)),
            how=likeness.words,
            bits=likeness.bits,
            signed_by=str(who) if isinstance(who, TrustedKey) else None,
            unsigned=who if isinstance(who, str) else None,
            keys_asked=any(self._trusted.asks_for(role) for role in ROLES),
            others=tuple(words for bits, words in rivals.values() if bits - likeness.bits < 2 * APART_BITS)[:3],
        )

    def _read_again(self, paths: set[str]) -> dict[str, KeptRecord]:
        kept = {}
        for path, record in self._store.read_records(sorted(paths)).items():
            try:
                kept[path] = read_drawn(path, record)
            except (ValueError, RecursionError):
                continue  # changed since it was indexed: nothing is told by it
        return kept

    @cached_property
    def _rows(self) -> list[tuple[str, int, bytes, int]]:
        return self._database.execute("SELECT path, place, pattern, signed FROM look ORDER BY rowid").fetchall()

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        return [(path, place) for path, place, *_ in self._rows]

    @cached_property
    def _patterns(self) -> np.ndarray:
        """(pictures, 32) bytes."""
        return np.frombuffer(b"".join(row[2] for row in self._rows), np.uint8).reshape(-1, 32)


@contextmanager
def open_drawn(settings: Settings, store: Store) -> Iterator[DrawnIndex]:
    """The index of this store's records of drawn pictures, brought up to date. Raises as `tasks.lineage.index`."""
    trusted = load_trusted_keys(settings)
    # by the keys too: the index remembers what they stand for
    known = digest_of([store.address, *sorted(key.id for key in trusted.keys)])
    file = settings.home / f"drawn-{known[:12]}.db"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(derived_database(file, _TABLES, _SCHEMA)) as database:
            _refresh(database, store, trusted)
            yield DrawnIndex(store, trusted, database)
    except (OSError, sqlite3.OperationalError) as error:
        raise InputError(f"{file}: cannot be used: {error}; mend it, or delete it: it is made anew") from error


def _refresh(database: sqlite3.Connection, store: Store, trusted: TrustedKeys) -> None:
    there = set(store.records(DRAWN))
    with database:
        database.execute("BEGIN IMMEDIATE")
        known = {path for (path,) in database.execute("SELECT path FROM record")}
        for path in known - there:
            database.execute("DELETE FROM record WHERE path = ?", (path,))
            database.execute("DELETE FROM look WHERE path = ?", (path,))
        new = sorted(there - known)
        for start in range(0, len(new), _BATCH):
            for path, record in store.read_records(new[start : start + _BATCH]).items():
                problem = None
                try:
                    kept = read_drawn(path, record)
                    signed = isinstance(kept.signer(trusted), TrustedKey)
                    looks = [look.fingerprint for look in kept.drawn.pictures]
                    rows = [
                        (path, place, patterns_of([look]).tobytes(), signed)
                        for place, look in enumerate(looks)
                        if is_comparable(look)
                    ]
                    database.executemany("INSERT INTO look VALUES (?, ?, ?, ?)", rows)
                except (ValueError, RecursionError) as error:
                    problem = str(error)
                database.execute("INSERT INTO record VALUES (?, ?)", (path, problem))


def _confidence(likeness: Likeness, rival: int | None) -> Confidence:
    alone = rival is None or rival - likeness.bits >= APART_BITS
    if likeness.is_part or not alone or likeness.bits > MEDIUM_BITS:
        return "low"
    return "high" if likeness.bits <= HIGH_BITS else "medium"

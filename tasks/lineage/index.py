"""An index over the store's manifests: which training read which images. Derived from them, and never their judge.

It lies in `settings.home`, and every use begins by comparing it with a listing of the store: manifests that are new are
read, those that are gone are forgotten. What it finds is read again from the store before it is told to anyone. A
damaged or older index is thrown away and made anew.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from model.errors import InputError
from tasks.files.hashing import digest_of
from tasks.files.sqlite_files import derived_database
from tasks.jobs.kinds import in_lineage
from tasks.lineage.prepared_images import prepared_images
from tasks.project.settings import Settings
from tasks.registry.training_facts import evaluated_content
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store

_SCHEMA = 1
_BATCH = 2000  # manifests read at a time
_TABLES = """
    CREATE TABLE stage (stage TEXT, key TEXT, concept TEXT, created TEXT, content TEXT, PRIMARY KEY (stage, key));
    CREATE TABLE reads (stage TEXT, key TEXT, kind TEXT, read TEXT, PRIMARY KEY (stage, key, kind));
    CREATE TABLE image (prepared TEXT, file TEXT, sha256 TEXT, own_sha256 TEXT, fingerprint TEXT);
    CREATE TABLE original (stage TEXT, key TEXT, file TEXT, stored TEXT, sha256 TEXT);
    CREATE INDEX by_concept ON stage (concept);
    CREATE INDEX by_read ON reads (kind, read);
    CREATE INDEX by_sha256 ON image (sha256);
    CREATE INDEX by_own_sha256 ON image (own_sha256);
    CREATE INDEX by_prepared ON image (prepared);
    CREATE INDEX by_original ON original (sha256);
"""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that the store holds, evaluated or not: the stage that stands at its end."""

    stage: str
    key: str
    concept: str
    created: str
    content: str | None
    """Key of its content, by which it is registered; None where it was not evaluated."""
    prepared: str
    """Key of the prepared images that it read."""


@dataclass(frozen=True, kw_only=True)
class IndexedImage:
    """An image in a set of prepared images."""

    prepared: str
    """Key of the set."""
    file: str
    sha256: str
    """Of the file in the image set."""
    fingerprint: str


class LineageIndex:
    """Questions to the index; made by `open_index`, which brings it up to date."""

    def __init__(self, database: sqlite3.Connection, unreadable: Sequence[str]) -> None:
        self._database = database
        self.unreadable = tuple(unreadable)
        """Manifests that could not be read, one sentence each: what they would say is not known."""

    def count_trainings(self) -> int:
        """How many trainings there are, evaluated or not."""
        evaluated = "SELECT stage, key FROM stage WHERE stage = 'evaluate'"
        others = "SELECT stage, key FROM stage WHERE stage LIKE 'train-%' EXCEPT SELECT kind, read FROM reads"
        found = self._database.execute(f"SELECT COUNT(*) FROM ({evaluated} UNION ALL SELECT * FROM ({others}))")
        return int(found.fetchone()[0])

    def evaluations(self) -> set[str]:
        """Keys of all evaluations."""
        return {key for (key,) in self._database.execute("SELECT key FROM stage WHERE stage = 'evaluate'")}

    def trainings_of(self, concept: str) -> list[Training]:
        """A concept's trainings by the label in their manifests, newest first; evaluated ones before others."""
        found = self._trainings("s.concept = ?", concept)
        return sorted(found, key=lambda training: (training.content is not None, training.created), reverse=True)

    def trainings_on(self, prepared: Iterable[str]) -> list[Training]:
        """All trainings that read one of these sets of prepared images, by key; oldest first."""
        keys = json.dumps(sorted(prepared))
        found = self._trainings("r.read IN (SELECT value FROM json_each(?))", keys)
        return sorted(found, key=lambda training: (training.created, training.key))

    def gallery(self, evaluation: str) -> str | None:
        """Key of the newest gallery of an evaluation."""
        found = self._database.execute(
            "SELECT s.key FROM stage s JOIN reads r ON r.stage = s.stage AND r.key = s.key "
            "WHERE s.stage = 'gallery' AND r.kind = 'evaluate' AND r.read = ? ORDER BY s.created DESC LIMIT 1",
            (evaluation,),
        ).fetchone()
        return found[0] if found else None

    def reads(self, stage: str, key: str) -> dict[str, str]:
        """Which earlier stages a stage read, as its manifest said when it was indexed."""
        found = self._database.execute("SELECT kind, read FROM reads WHERE stage = ? AND key = ?", (stage, key))
        return dict(found.fetchall())

    def images(self, sha256: str | None = None) -> list[IndexedImage]:
        """All images, or those whose own or prepared file has this hash."""
        where, values = ("sha256 = :it OR own_sha256 = :it", {"it": sha256}) if sha256 else ("1", {})
        found = self._database.execute(f"SELECT prepared, file, sha256, fingerprint FROM image WHERE {where}", values)
        return [IndexedImage(prepared=p, file=f, sha256=s, fingerprint=x) for p, f, s, x in found]

    def stored_of_original(self, sha256: str) -> dict[str, str]:
        """Hashes of the stored images that were made from a file with this hash, with the name it was brought by."""
        return dict(
            self._database.execute("SELECT DISTINCT stored, file FROM original WHERE sha256 = ?", (sha256,)).fetchall()
        )

    def _trainings(self, where: str, *values: str) -> Iterator[Training]:
        """Evaluated trainings, and last stages of those that no evaluation read."""
        found = self._database.execute(
            "SELECT s.stage, s.key, s.concept, s.created, s.content, r.read FROM stage s "
            "JOIN reads r ON r.stage = s.stage AND r.key = s.key AND r.kind = 'prepare' "
            f"WHERE {where} AND (s.stage = 'evaluate' OR s.stage LIKE 'train-%' AND NOT EXISTS "
            "(SELECT 1 FROM reads later WHERE later.kind = s.stage AND later.read = s.key))",
            values,
        )
        for stage, key, concept, created, content, prepared in found:
            yield Training(stage=stage, key=key, concept=concept, created=created, content=content, prepared=prepared)


@contextmanager
def open_index(settings: Settings, store: Store) -> Iterator[LineageIndex]:
    """The index of this store, brought up to date.

    Raises:
        StoreFailed: the store cannot be listed or read.
        InputError: the index cannot be written.
    """
    file = settings.home / f"lineage-{digest_of(store.address)[:12]}.db"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(derived_database(file, _TABLES, _SCHEMA)) as database:
            yield LineageIndex(database, _refresh(database, store))
    except (OSError, sqlite3.OperationalError) as error:
        raise InputError(
            f"{file}: cannot be used: {error}; mend it, or choose another folder by the setting `home` "
            "(CONCEPTBOOTH_HOME)"
        ) from error


def _refresh(database: sqlite3.Connection, store: Store) -> list[str]:
    """Read what is new in the store, forget what is gone; sentences about what could not be read."""
    there = {(stage, key) for stage, key in store.artefacts() if in_lineage(stage)}
    unreadable: list[str] = []
    with database:
        database.execute("BEGIN IMMEDIATE")
        known = set(database.execute("SELECT stage, key FROM stage").fetchall())
        for stage, key in known - there:
            _forget(database, stage, key)
        new = sorted(there - known)
        for start in range(0, len(new), _BATCH):
            for manifest in store.read_all(new[start : start + _BATCH]).values():
                try:
                    if isinstance(manifest, Damaged):
                        raise manifest
                    _learn(database, store, manifest)
                except (Damaged, ValueError) as error:
                    unreadable.append(str(error))
    return unreadable


def _learn(database: sqlite3.Connection, store: Store, manifest: Manifest) -> None:
    place = manifest.stage, manifest.key
    read = {entry.kind: entry.key for entry in manifest.inputs if in_lineage(entry.kind)}
    images = prepared_images(store, manifest) if manifest.stage == "prepare" else ()
    content = evaluated_content(manifest) if manifest.stage == "evaluate" else None
    concept = manifest.labels.get("concept", "")
    database.execute("INSERT INTO stage VALUES (?, ?, ?, ?, ?)", (*place, concept, manifest.created, content))
    database.executemany("INSERT INTO reads VALUES (?, ?, ?, ?)", [(*place, kind, key) for kind, key in read.items()])
    rows: list[tuple[Any, ...]] = [
        (manifest.key, i["file"], i["sha256"], manifest.files[i["file"]].sha256, i["fingerprint"]) for i in images
    ]
    database.executemany("INSERT INTO image VALUES (?, ?, ?, ?, ?)", rows)
    originals = manifest.stated.get("images", ())
    rows = [(*place, o["original"], o["sha256"], o["original_sha256"]) for o in originals]
    database.executemany("INSERT INTO original VALUES (?, ?, ?, ?, ?)", rows)


def _forget(database: sqlite3.Connection, stage: str, key: str) -> None:
    for table in ("stage", "reads", "original"):
        database.execute(f"DELETE FROM {table} WHERE stage = ? AND key = ?", (stage, key))
    if stage == "prepare":
        database.execute("DELETE FROM image WHERE prepared = ?", (key,))

"""The artefact store, the truth above all caches: contents under their hash, and a manifest for each finished stage.

    cas/sha256/ab/<sha256>              contents, immutable
    stages/<stage>/<key>/manifest.json  put last and exclusively: the loser of a race adopts the winner's
    concepts/, promotions/, ...         records: small documents, each at a path of its own

It lies in a folder or in a bucket of S3, with the same layout; tasks/store/blobs.py says what either has to be able to
do. "Not there" and "cannot tell" are different answers: the first makes a stage run, the second fails.
"""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from model.errors import WorldFailed
from tasks.files.hashing import file_digest
from tasks.files.names import path_inside
from tasks.files.s3_url import S3Url
from tasks.project.settings import Settings
from tasks.signing.keys import Signer, signer_of
from tasks.store.blobs import Blobs, Entry, Hold, NotAsWritten, Record, is_record
from tasks.store.content_cache import ContentCache
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Facts, FileRecord, Manifest
from tasks.store.sweeps import Sweeps

_KEY = re.compile("[0-9a-f]{64}")
_CONTENTS, _MANIFESTS, _MANIFEST = "cas/sha256/", "stages/", "manifest.json"


class Damaged(WorldFailed):
    """An artefact whose manifest is there and whose files are not, or not as they were; it can be made again."""

    def __init__(self, stage: str, key: str, problems: list[str]) -> None:
        super().__init__(f"{stage} {key[:12]}: {'; '.join(problems)}")
        self.stage, self.key, self.problems = stage, key, problems


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that the store keeps, by what it is called; nothing of it has been opened."""

    manifests: Mapping[tuple[str, str], Entry]
    """By stage and key."""
    contents: Mapping[str, Entry]
    """By sha256."""

    def lacks(self, files: Mapping[str, FileRecord]) -> list[str]:
        """Which of an artefact's files have no content of the right size."""
        found = {name: self.contents.get(record.sha256) for name, record in files.items()}
        return [name for name, entry in found.items() if entry is None or entry.size != files[name].size]


def open_store(settings: Settings) -> "Store":
    """The store of a project, in which this machine's `training_key` signs what is made; nothing is asked yet."""
    trainings, releases = partial(signer_of, settings, "trainings"), partial(signer_of, settings, "releases")
    return Store(open_blobs(settings, settings.store), trainings, lambda: trainings() or releases())


def open_blobs(settings: Settings, place: Path | S3Url) -> Blobs:
    """A folder or a bucket, as the settings reach it; nothing is asked yet."""
    if isinstance(place, Path):
        return FolderBlobs(place)
    from tasks.store.s3_blobs import S3Blobs

    return S3Blobs(place, cache_of(settings), endpoint_url=settings.s3_endpoint_url)


def cache_of(settings: Settings) -> ContentCache:
    """Where contents of stores in S3 are kept on this machine."""
    return ContentCache(settings.home / "cache", int(settings.cache_gigabytes * 2**30))


class Store:
    """Artefacts and records in a place that keeps bytes; any number of processes may use it at once."""

    def __init__(
        self,
        blobs: Blobs,
        signer: Callable[[], Signer | None] = lambda: None,
        record_signer: Callable[[], Signer | None] | None = None,
    ) -> None:
        self._blobs = blobs
        self._signer = signer
        self._record_signer = record_signer or signer
        self._sweeps = Sweeps(blobs)
        self.address = blobs.address

    def content_address(self, sha256: str) -> str:
        """Where the content with this hash lies."""
        return self._blobs.where(content_name(sha256))

    def manifest_address(self, stage: str, key: str) -> str:
        """Where the manifest of this artefact lies."""
        return self._blobs.where(_manifest(stage, key))

    def probe(self) -> None:
        """Prove that the store works: write, create exclusively, read back. Sweeps what dead processes left.

        Raises:
            InputError: it does not; nothing is left behind.
            StoreFailed: it does not answer now.
        """
        self._blobs.probe()

    def read(self, stage: str, key: str) -> Manifest | None:
        """The manifest, or None where there is none.

        Raises:
            Damaged: a manifest that is not one, or another's.
            StoreFailed: it cannot be told.
        """
        record = self._blobs.read(_manifest(stage, key))
        return _parsed(stage, key, record) if record else None

    def damage(self, manifest: Manifest, *, rehash: bool = False) -> list[str]:
        """What is wrong with the artefact's files, one sentence each: missing, another size, with `rehash` other bytes.

        Raises StoreFailed where it cannot be told.
        """
        found = self._blobs.problems(_contents(manifest), rehash=rehash)
        problems = {name: found.get(content_name(record.sha256)) for name, record in manifest.files.items()}
        return [f"{name}: {problem}" for name, problem in problems.items() if problem]

    def find(self, stage: str, key: str, *, rehash: bool = False) -> Manifest | None:
        """A whole artefact's manifest, or None where there is none. Raises Damaged, StoreFailed."""
        manifest = self.read(stage, key)
        if manifest is not None and (problems := self.damage(manifest, rehash=rehash)):
            raise Damaged(stage, key, problems)
        return manifest

    def find_checked(self, stage: str, key: str, *, thorough: bool = False) -> Manifest | None:
        """Like `find`, with all bytes hashed where that costs no transfer; elsewhere when they are read, or `thorough`.

        Raises Damaged, StoreFailed.
        """
        return self.find(stage, key, rehash=thorough or self._blobs.near)

    def get(self, stage: str, key: str) -> Manifest:
        """The manifest of an artefact that was published. Raises Damaged where it is gone, StoreFailed."""
        manifest = self.read(stage, key)
        if manifest is None:
            raise Damaged(stage, key, [f"missing ({self.manifest_address(stage, key)})"])
        return manifest

    def use(self, stage: str, key: str) -> Manifest:
        """`get` for a run that goes on from this artefact: it counts as new, so that no sweep takes it away."""
        self._sweeps.apart(lambda: self._blobs.renew(_manifest(stage, key)))
        return self.get(stage, key)

    def file(self, manifest: Manifest, name: str) -> Path:
        """The content of one file, to read and not to write; its hash has been checked. Raises Damaged, StoreFailed."""
        return self.files(manifest, [name])[name]

    def files(self, manifest: Manifest, names: Iterable[str]) -> dict[str, Path]:
        """The contents of several files, by name: many at once where they have to be transferred first."""
        contents = {name: content_name(manifest.files[name].sha256) for name in names}
        try:
            paths = self._blobs.fetch({contents[name]: manifest.files[name] for name in contents})
        except NotAsWritten as error:
            name = next(name for name in contents if contents[name] == error.name)
            raise Damaged(manifest.stage, manifest.key, [f"{name}: {error.problem}"]) from error
        return {name: paths[content] for name, content in contents.items()}

    def materialise(self, manifest: Manifest, folder: Path) -> None:
        """Copy the artefact's files into `folder`: never links, so that editing a copy cannot reach the store.

        Raises:
            ImproperName: a file's name leads out of the folder, or a link in the folder does; nothing was written.
            Damaged, StoreFailed: the store does not have the files.
            WorldFailed: `folder` cannot be written; each file there is whole.
        """
        targets = {name: path_inside(folder, name, follow=False) for name in manifest.files}
        for name, source in self.files(manifest, manifest.files).items():
            target = targets[name]
            unfinished = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(source, unfinished)
                    unfinished.replace(target)
                finally:
                    unfinished.unlink(missing_ok=True)
            except OSError as error:
                raise WorldFailed(
                    f"{target}: cannot be written: {error.strerror}; mend it and run the same command again, "
                    "nothing else is lost"
                ) from error

    def publish(self, folder: Path, facts: Facts, *, thorough: bool = False) -> Manifest:
        """Make the files below `folder` the artefact that `facts` describes; returns the manifest that counts.

        That is another one where a second process was quicker and its artefact is whole; `thorough` is `find_checked`'s
        and asks the same of contents that are there already.

        Raises:
            StoreFailed: the store cannot be written, or is full; no manifest then says that the artefact exists.
            InputError: the key that is to sign it cannot be opened.
        """
        paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        return self.publish_files(paths, facts, thorough=thorough)

    def publish_files(self, paths: Mapping[str, Path], facts: Facts, *, thorough: bool = False) -> Manifest:
        """`publish` of files that lie anywhere, by the names that they get. Raises as that."""
        files = {n: FileRecord(sha256=file_digest(path), size=path.stat().st_size) for n, path in paths.items()}
        contents = {content_name(record.sha256): (paths[name], record) for name, record in files.items()}
        manifest = Manifest(
            files=files,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            **{field.name: getattr(facts, field.name) for field in fields(Facts)},
        ).signed_by(self._signer())

        def bring_in() -> Manifest:
            # apart: so that nothing is announced that is being removed
            self._sweeps.apart(lambda: self._blobs.put(contents, rehash=thorough or self._blobs.near))
            return self._announce(manifest, thorough)

        return self._sweeps.apart(bring_in)  # that cannot take a day; if it does, it is done again

    def alone(self, stage: str, key: str, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[Hold]:
        """Inside, nobody else on any machine makes this artefact; `on_wait` is called if somebody does, then it waits.

        A maker that was killed frees it within a minute. One that did not answer for so long may lose it: that costs
        double work and never a wrong artefact, since `publish` lets one win. Raises StoreFailed.
        """
        return self._blobs.alone(f"{stage}-{key}", on_wait)

    @property
    def signer(self) -> Signer | None:
        """The key that signs what trainings leave; None where none is set."""
        return self._signer()

    @property
    def record_signer(self) -> Signer | None:
        """The key that signs records of trainings and versions: who releases writes some as well."""
        return self._record_signer()

    def record(self, path: str) -> Record | None:
        """The record at this path, or None where there is none. Raises StoreFailed, as all that records do."""
        return self._blobs.read(path)

    def records(self, prefix: str) -> list[str]:
        """Paths of all records whose paths begin with `prefix`, a folder such as "concepts/", sorted.

        What the store never wrote, `.DS_Store` or a deeper file, is passed over.
        """
        return sorted(entry.name for entry in self._blobs.entries(prefix) if is_record(entry.name))

    def read_records(self, paths: Iterable[str]) -> dict[str, Record]:
        """Those of the records that are there, by path: many at once where reading takes time."""
        return self._blobs.read_all(paths)

    def create_record(self, path: str, content: bytes) -> bool:
        """Write a record that is not there yet; False, and nothing is written, if it is."""
        return self._blobs.create(path, content)

    def replace_record(self, path: str, content: bytes, version: str) -> bool:
        """Write over a record if it is as it was read; False, and nothing is written, if it is not."""
        return self._blobs.replace(path, content, version)

    def write_record(self, path: str, content: bytes) -> None:
        """Write a record whatever is there; the last writer wins."""
        self._blobs.write(path, content)

    def delete_record(self, path: str) -> None:
        """Remove a record, if it is there."""
        self._blobs.delete(path)

    def artefacts(self) -> set[tuple[str, str]]:
        """Stage and key of every manifest that is there, by listing alone. Raises StoreFailed."""
        named = (name.split("/") for name in self._blobs.names(_MANIFESTS, _MANIFEST))
        return {(stage, key) for _, stage, key, _ in named if _KEY.fullmatch(key)}

    def inventory(self) -> Inventory:
        """What is there, by a few listings, whatever the number of artefacts. Raises StoreFailed."""
        manifests = {}
        for entry in self._blobs.entries(_MANIFESTS):
            match entry.name.removeprefix(_MANIFESTS).split("/"):
                case [stage, key, name] if name == _MANIFEST and _KEY.fullmatch(key):
                    manifests[stage, key] = entry
        contents = {sha: entry for entry in self._blobs.entries(_CONTENTS) if (sha := _content_of(entry.name))}
        return Inventory(manifests=manifests, contents=contents)

    def read_all(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Manifest | Damaged]:
        """Those manifests that are there, by stage and key; Damaged in the place of one that is not one."""
        names = {_manifest(stage, key): (stage, key) for stage, key in places}
        found: dict[tuple[str, str], Manifest | Damaged] = {}
        for name, record in self._blobs.read_all(names).items():
            try:
                found[names[name]] = _parsed(*names[name], record)
            except Damaged as damage:
                found[names[name]] = damage
        return found

    def now(self) -> float:
        """The time by the clock that ages things in the store, in seconds since 1970."""
        name = f"clock/{uuid.uuid4().hex}"
        self._blobs.write(name, b"{}")
        try:
            return next(entry.modified for entry in self._blobs.entries("clock/") if entry.name == name)
        finally:
            self._blobs.delete(name)

    def sweep(self, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[Hold]:
        """Inside, artefacts and contents may be removed, by what is listed inside, until the hold is lost.

        What is published or taken into use meanwhile waits, or is done again: tasks/store/sweeps.py.
        """
        return self._sweeps.sweep(on_wait)

    def delete_manifests(self, places: Iterable[tuple[str, str]]) -> None:
        """Let artefacts be no more; their contents stay. Inside `sweep` only."""
        self._blobs.delete_all([_manifest(stage, key) for stage, key in places])

    def delete_contents(self, sha256s: Iterable[str]) -> None:
        """Remove contents that no manifest names any more. Inside `sweep` only."""
        self._blobs.delete_all([content_name(sha256) for sha256 in sha256s])

    def _announce(self, manifest: Manifest, thorough: bool) -> Manifest:
        name, content = _manifest(manifest.stage, manifest.key), manifest.to_json().encode()
        while not self._blobs.create(name, content):
            with suppress(Damaged):
                winner = self.find_checked(manifest.stage, manifest.key, thorough=thorough)
                if winner is not None:
                    return winner
            present = self._blobs.read(name)  # it describes files that are gone
            if present is not None and self._blobs.replace(name, content, present.version):
                break
        return manifest


def _parsed(stage: str, key: str, record: Record) -> Manifest:
    try:
        manifest = Manifest.from_json(record.content.decode())
    except ValueError as error:
        raise Damaged(stage, key, [f"{_MANIFEST}: {error}"]) from error
    if (manifest.stage, manifest.key) != (stage, key):
        raise Damaged(stage, key, [f"{_MANIFEST}: is that of {manifest.stage} {manifest.key[:12]}"])
    return manifest


def _content_of(name: str) -> str | None:
    """The hash under which a content lies; None for a file that is none."""
    match name.removeprefix(_CONTENTS).split("/"):
        case [start, sha256] if _KEY.fullmatch(sha256) and sha256.startswith(start):
            return sha256
    return None


def content_name(sha256: str) -> str:
    """How the content with this hash is called, in every place that keeps contents."""
    return f"{_CONTENTS}{sha256[:2]}/{sha256}"


def _manifest(stage: str, key: str) -> str:
    return f"{_MANIFESTS}{stage}/{key}/{_MANIFEST}"


def _contents(manifest: Manifest) -> dict[str, FileRecord]:
    return {content_name(record.sha256): record for record in manifest.files.values()}

"""The artefact store, the truth above all caches: contents under their hash, and a manifest for each finished stage.

    cas/sha256/ab/<sha256>              contents, immutable, read-only
    stages/<stage>/<key>/manifest.json  put last and exclusively: the loser of a race adopts the winner's
    spool/                              what is being written; leftovers of dead processes are swept

"Not there" and "cannot tell" are different answers: the first makes a stage run, the second fails.
"""

import contextlib
import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from model.errors import InputError, WorkFailed
from tasks.hashing import file_digest
from tasks.manifest import Facts, FileRecord, Manifest

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG} | DISK_FULL


class StoreFailed(WorkFailed):
    """The store could not be read or written; `retryable` says whether waiting may help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Damaged(WorkFailed):
    """An artefact whose manifest is there and whose files are not, or not as they were; it can be made again."""

    def __init__(self, stage: str, key: str, problems: list[str]) -> None:
        super().__init__(f"{stage} {key[:12]}: {'; '.join(problems)}")
        self.stage, self.key, self.problems = stage, key, problems


class Store:
    """A store in a folder; any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the content with this hash lies."""
        return self.root / "cas" / "sha256" / sha256[:2] / sha256

    def manifest_path(self, stage: str, key: str) -> Path:
        """Where the manifest of this artefact lies."""
        return self.root / "stages" / stage / key / "manifest.json"

    def probe(self) -> None:
        """Prove that the store works: write, create exclusively, read back. Sweeps the spool.

        Raises:
            InputError: it does not; nothing is left behind.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._spooled() as one, self._spooled() as two:
                one.write_bytes(b"probe")
                os.link(one, two)
                with contextlib.suppress(FileExistsError):
                    os.link(one, two)
                    raise InputError(f"store {self.root}: this file system does not create files exclusively")
                if two.read_bytes() != b"probe":
                    raise InputError(f"store {self.root}: what was written does not read back")
        except OSError as error:
            raise InputError(
                f"store {self.root}: cannot be used: {error.strerror}; mend it, or choose another folder by the "
                "setting `store` (CONCEPTBOOTH_STORE)"
            ) from error

    def read(self, stage: str, key: str) -> Manifest | None:
        """The manifest, or None where there is none.

        Raises:
            Damaged: a manifest that is not one, or another's.
            StoreFailed: it cannot be told.
        """
        path = self.manifest_path(stage, key)
        with self._reading(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            manifest = Manifest.from_json(content.decode())
        except ValueError as error:
            raise Damaged(stage, key, [f"manifest.json: {error}"]) from error
        if (manifest.stage, manifest.key) != (stage, key):
            raise Damaged(stage, key, [f"manifest.json: is that of {manifest.stage} {manifest.key[:12]}"])
        return manifest

    def damage(self, manifest: Manifest, *, rehash: bool = False) -> list[str]:
        """What is wrong with the artefact's files, one sentence each: missing, another size, with `rehash` other bytes.

        Raises StoreFailed where it cannot be told.
        """
        problems = ((name, self._problem(record, rehash)) for name, record in manifest.files.items())
        return [f"{name}: {problem}" for name, problem in problems if problem]

    def find(self, stage: str, key: str, *, rehash: bool = False) -> Manifest | None:
        """A whole artefact's manifest, or None where there is none. Raises Damaged, StoreFailed."""
        manifest = self.read(stage, key)
        if manifest is not None and (problems := self.damage(manifest, rehash=rehash)):
            raise Damaged(stage, key, problems)
        return manifest

    def get(self, stage: str, key: str) -> Manifest:
        """The manifest of an artefact that was published. Raises Damaged where it is gone, StoreFailed."""
        manifest = self.read(stage, key)
        if manifest is None:
            raise Damaged(stage, key, [f"missing ({self.manifest_path(stage, key)})"])
        return manifest

    def file(self, manifest: Manifest, name: str) -> Path:
        """The content of one file, to read and not to write; its hash has been checked. Raises Damaged, StoreFailed."""
        record = manifest.files[name]
        if problem := self._problem(record, rehash=True):
            raise Damaged(manifest.stage, manifest.key, [f"{name}: {problem}"])
        return self.path(record.sha256)

    def materialise(self, manifest: Manifest, folder: Path) -> None:
        """Copy the artefact's files into `folder`: never links, so that editing a copy cannot reach the store.

        Raises:
            Damaged, StoreFailed: the store does not have the files.
            WorkFailed: `folder` cannot be written; each file there is whole.
        """
        for name in manifest.files:
            source, target = self.file(manifest, name), folder / name
            unfinished = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(source, unfinished)
                    unfinished.replace(target)
                finally:
                    unfinished.unlink(missing_ok=True)
            except OSError as error:
                raise WorkFailed(
                    f"{target}: cannot be written: {error.strerror}; mend it and run the same command again, "
                    "nothing else is lost"
                ) from error

    def publish(self, folder: Path, facts: Facts) -> Manifest:
        """Make the files below `folder` the artefact that `facts` describes; returns the manifest that counts.

        That is another one where a second process was quicker and its artefact is whole.

        Raises:
            StoreFailed: the store cannot be written, or is full; no manifest then says that the artefact exists.
        """
        try:
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            files = {path.relative_to(folder).as_posix(): self._put(path) for path in paths}
            for content_folder in {self.path(record.sha256).parent for record in files.values()}:
                _sync_folder(content_folder)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = Manifest(
                files=files, created=created, **{field.name: getattr(facts, field.name) for field in fields(Facts)}
            )
            return self._announce(manifest)
        except OSError as error:
            raise self._failed(error, f"{facts.stage} {facts.key[:12]} could not be kept") from error

    def _put(self, source: Path) -> FileRecord:
        """Bring one file's content in, under its hash; content that is there and whole is left alone."""
        record = FileRecord(sha256=file_digest(source), size=source.stat().st_size)
        if self._problem(record, rehash=True) is None:
            return record
        target = self.path(record.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._spooled() as temporary:
            shutil.copyfile(source, temporary)
            _sync_file(temporary)
            temporary.chmod(0o444)
            temporary.replace(target)  # also over damaged content
        return record

    def _announce(self, manifest: Manifest) -> Manifest:
        target = self.manifest_path(manifest.stage, manifest.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._spooled() as temporary:
            temporary.write_text(manifest.to_json(), encoding="utf-8")
            _sync_file(temporary)
            temporary.chmod(0o444)
            try:
                os.link(temporary, target)
            except FileExistsError:
                with contextlib.suppress(Damaged):
                    winner = self.find(manifest.stage, manifest.key, rehash=True)
                    if winner is not None:
                        return winner
                temporary.replace(target)  # what was there described files that are gone
        _sync_folder(target.parent)
        return manifest

    def _problem(self, record: FileRecord, rehash: bool) -> str | None:
        path = self.path(record.sha256)
        with self._reading(path):
            try:
                size = path.stat().st_size
                if size != record.size:
                    return f"has {size} bytes instead of {record.size} ({path})"
                if rehash and file_digest(path) != record.sha256:
                    return f"its bytes have changed ({path})"
            except FileNotFoundError:
                return f"missing ({path})"
        return None

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failed(error, f"{path} cannot be read") from error

    def _failed(self, error: OSError, what: str) -> StoreFailed:
        if error.errno in DISK_FULL:
            reason = f"{error.strerror}; make room there and run the same command again"
        else:
            reason = f"{error.strerror or error}"
        return StoreFailed(f"store {self.root}: {what}: {reason}", retryable=error.errno not in _LASTING)

    @contextlib.contextmanager
    def _spooled(self) -> Iterator[Path]:
        """A new name in the spool; what is still there at the end is removed."""
        spool = self.root / "spool"
        spool.mkdir(exist_ok=True)
        path = spool / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what processes of this machine that are no more have left in the spool."""
        for path in (self.root / "spool").glob(f"{socket.gethostname()}-*"):
            pid = path.name.removeprefix(f"{socket.gethostname()}-").split("-")[0]
            if pid.isdecimal() and not _alive(int(pid)):
                path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

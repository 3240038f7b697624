"""Bytes under names in a folder, which may be one that several machines mount.

spool/   what is being written; leftovers of dead processes are swept
locks/   who is alone at something; the system frees a lock when its holder ends
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from model.errors import InputError
from model.runtime.disk import to_disk
from tasks.files.hashing import file_digest
from tasks.files.locks import file_lock, lock_if_free
from tasks.files.names import path_inside
from tasks.files.spool import spooled, sweep_unfinished
from tasks.store.blobs import PLACE_SETTINGS, Entry, Hold, NotAsWritten, Record, StoreFailed
from tasks.store.manifest import FileRecord

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG} | DISK_FULL


class FolderBlobs:
    """A folder. Contents are read where they lie; a document's version is the hash of its bytes."""

    near = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def path(self, name: str, *, follow: bool = True) -> Path:
        """Where the thing of this name lies. ImproperName where it would not lie in the folder: `path_inside`."""
        return path_inside(self.root, name.removesuffix("/"), follow=follow)

    def where(self, name: str) -> str:
        return str(self.root / name)

    def probe(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            sweep_unfinished(self._spool)
            self._sweep_locks()
            with spooled(self._spool) as one, spooled(self._spool) as two:
                one.write_bytes(b"probe")
                os.link(one, two)
                with contextlib.suppress(FileExistsError):
                    os.link(one, two)
                    raise InputError(f"store {self.root}: this file system does not create files exclusively")
                if two.read_bytes() != b"probe":
                    raise InputError(f"store {self.root}: what was written does not read back")
        except OSError as error:
            raise InputError(
                f"store {self.root}: cannot be used: {error.strerror}; mend it, or name another folder "
                f"({PLACE_SETTINGS})"
            ) from error

    def read(self, name: str) -> Record | None:
        path = self.path(name)
        with self._asking(f"{path} cannot be read"):
            try:
                content = _content(path)
            except FileNotFoundError:
                return None
        return Record(content=content, version=hashlib.sha256(content).hexdigest())

    def read_all(self, names: Iterable[str]) -> dict[str, Record]:
        found = {name: self.read(name) for name in names}
        return {name: record for name, record in found.items() if record is not None}

    def create(self, name: str, content: bytes) -> bool:
        target = self.path(name)
        with self._writing(name), self._written(content) as unfinished:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(unfinished, target)
            except FileExistsError:
                return False
            to_disk(target.parent)
            return True

    def replace(self, name: str, content: bytes, version: str) -> bool:
        with self._writing(name):
            present = self.read(name)
            if present is None or present.version != version:
                return False
            self._overwrite(name, content)
            return True

    def write(self, name: str, content: bytes) -> None:
        with self._writing(name):
            self._overwrite(name, content)

    def delete(self, name: str) -> None:
        self.delete_all([name])

    def delete_all(self, names: Collection[str]) -> None:
        with self._asking("not everything could be removed"), file_lock(self.path("locks/documents"), remove=True):
            for path in [self.path(name, follow=False) for name in names]:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it holds something else
                    path.parent.rmdir()

    def renew(self, name: str) -> bool:
        path = self.path(name)
        with self._asking(f"{path} cannot be written"):
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def entries(self, prefix: str) -> Iterator[Entry]:
        with self._asking(f"{self.path(prefix)} cannot be read"):
            found: list[Entry] = []
            _walk(str(self.path(prefix)), prefix, found, [])
        yield from found

    def no_files(self, prefix: str) -> list[str]:
        with self._asking(f"{self.path(prefix)} cannot be read"):
            others: list[str] = []
            _walk(str(self.path(prefix)), prefix, [], others)
        return others

    def names(self, prefix: str, last: str) -> set[str]:
        with self._asking(f"{self.path(prefix)} cannot be read"):
            outer = [f"{prefix}{name}" for name in _listed(self.path(prefix))]
            names = (f"{name}/{inner}/{last}" for name in outer for inner in _listed(self.root / name))
            return {name for name in names if _is_there(f"{self.root}/{name}")}

    def put(self, contents: Mapping[str, tuple[Path, FileRecord]], *, rehash: bool) -> None:
        with self._asking("its contents could not be kept"):
            for name, (source, record) in contents.items():
                self._put(name, source, record, rehash)
            for folder in {self.path(name).parent for name in contents}:
                with contextlib.suppress(FileNotFoundError):  # a sweep took it: the store will put it again
                    to_disk(folder)

    def problems(self, contents: Mapping[str, FileRecord], *, rehash: bool) -> dict[str, str]:
        found = {name: self._problem(name, record, rehash) for name, record in contents.items()}
        return {name: problem for name, problem in found.items() if problem}

    def fetch(self, contents: Mapping[str, FileRecord]) -> dict[str, Path]:
        for name, record in contents.items():
            if problem := self._problem(name, record, rehash=True):
                raise NotAsWritten(name, problem)
        return {name: self.path(name) for name in contents}

    @contextlib.contextmanager
    def alone(self, name: str, on_wait: Callable[[], None]) -> Iterator[Hold]:
        with contextlib.ExitStack() as stack:
            with self._asking(f"locks/{name} cannot be held"):
                stack.enter_context(file_lock(self.path(f"locks/{name}"), on_wait, remove=True))
            yield _Held()

    @property
    def _spool(self) -> Path:
        return self.path("spool")

    def _sweep_locks(self) -> None:
        """Remove the locks of makers that were killed: nobody may ask for their keys again."""
        for lock in self.path("locks").rglob("*"):
            if lock.is_file():
                with lock_if_free(lock) as free:
                    if free:
                        lock.unlink(missing_ok=True)

    def _put(self, name: str, source: Path, record: FileRecord, rehash: bool) -> None:
        if self._problem(name, record, rehash) is None and self.renew(name):
            return
        target = self.path(name)
        with spooled(self._spool) as unfinished:
            shutil.copyfile(source, unfinished)
            to_disk(unfinished)
            unfinished.chmod(0o444)
            with self._writing(name):  # nobody removes the folder as empty meanwhile
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished.replace(target)  # also over damaged content

    def _problem(self, name: str, record: FileRecord, rehash: bool) -> str | None:
        path = self.path(name)
        with self._asking(f"{path} cannot be read"):
            try:
                there = path.stat()
                if not stat.S_ISREG(there.st_mode):
                    return f"is no file ({path})"
                if there.st_size != record.size:
                    return f"has {there.st_size} bytes instead of {record.size} ({path})"
                if rehash and file_digest(path) != record.sha256:
                    return f"its bytes have changed ({path})"
            except FileNotFoundError:
                return f"missing ({path})"
        return None

    def _overwrite(self, name: str, content: bytes) -> None:
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._written(content) as unfinished:
            unfinished.replace(target)
        to_disk(target.parent)

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Documents are written by one process at a time, so that reading a version and writing over it are one."""
        with (
            self._asking(f"{self.path(name)} cannot be written"),
            file_lock(self.path("locks/documents"), remove=True),
        ):
            yield

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{error.strerror or error}"
            if error.errno in DISK_FULL:
                reason += "; make room there and run the same command again"
            said = f"store {self.root}: {what}: {reason}"
            raise StoreFailed(said, retryable=error.errno not in _LASTING) from error

    @contextlib.contextmanager
    def _written(self, content: bytes) -> Iterator[Path]:
        with spooled(self._spool) as path:
            path.write_bytes(content)
            to_disk(path)
            path.chmod(0o444)
            yield path


class _Held:
    """A lock of the system's: it cannot be taken away from a process that lives."""

    def lost(self) -> bool:
        return False


def _content(path: Path) -> bytes:
    """Of a file, and of nothing that only looks like one: a pipe would be waited for, a device never ends."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{path}: is no file, but a pipe, a device or a folder; remove it")
        return file.read()


def _listed(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_there(path: str) -> bool:
    try:
        os.stat(path)  # noqa: PTH116 - a Path would take twice as long, and there may be 50,000
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _walk(folder: str, prefix: str, found: list[Entry], others: list[str]) -> None:
    """Collect the files below a folder, and the names of what is neither file nor folder.

    What vanishes meanwhile is left out. Every step here is done 100,000 times.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):  # no link of a folder is ours, and one may lead in a circle
                    _walk(entry.path, f"{prefix}{entry.name}/", found, others)
                    continue
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(facts.st_mode):  # no pipe is ours either, and no link to a file
                    found.append(Entry(prefix + entry.name, facts.st_size, facts.st_mtime))
                else:
                    others.append(prefix + entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return

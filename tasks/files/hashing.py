"""Digests: of JSON values, of files, of folders; large files are hashed once and remembered."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.runtime.disk import file_sha256

_SETTLED_SECONDS = 2.0  # a file changed more recently may change again within one tick of its clock


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, shortest floats, no NaN, nothing that is not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: Any) -> str:
    """sha256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    return file_sha256(path)


class DigestMemory:
    """Hashes of files, remembered in one JSON file by path, size, times of change and inode, as git's index does.

    A base model of 5 GB and the images of a thousand concepts are read once, not at every plan. With `read` it is what
    that says of a file that is remembered, in the hash's place.
    """

    def __init__(self, memory_file: Path, algorithm: str = "sha256", read: Callable[[Path], str] | None = None) -> None:
        self._file = memory_file
        self._read = read or (lambda path: _file_hash(path, algorithm))
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if memory_file.is_file():
            try:
                self._known = json.loads(memory_file.read_text(encoding="utf-8"))
            except ValueError:
                self._known = {}  # only a memory: everything is hashed again

    def digest(self, path: Path) -> str:
        """Hash of the file; OSError where it cannot be read."""
        stat = path.stat()
        # The inode's own time too: unlike the content's it cannot be set back, as copying tools do.
        name, mark = str(path), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(name)
        if known is not None and known[:-1] == mark:
            return known[-1]
        digest = self._read(path)
        if time.time() - max(stat.st_mtime, stat.st_ctime) > _SETTLED_SECONDS:
            self._known[name] = [*mark, digest]
            self._changed = True
        return digest

    def folder(self, folder: Path, suffixes: Iterable[str]) -> dict[str, str]:
        """Hash of every file below `folder` with one of the suffixes, by path inside it; hidden ones left out."""
        wanted = set(suffixes)
        paths = sorted(path for path in folder.rglob("*") if path.suffix in wanted and path.is_file())
        inside = {path.relative_to(folder).as_posix(): path for path in paths}
        return {name: self.digest(path) for name, path in inside.items() if not _hidden(name)}

    def save(self) -> None:
        """Write what was learnt; the file is replaced as a whole. Raises InputError where its folder cannot be used."""
        if not self._changed:
            return
        folder = self._file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=f".{self._file.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(self._known, file)
                Path(name).replace(self._file)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"folder {folder}: cannot be used: {error.strerror}; mend it, or choose another one by the setting "
                "`home` (CONCEPTBOOTH_HOME)"
            ) from error
        self._changed = False


def _file_hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))

"""Contents of a store in S3 on this machine: under their hash, hashed again whenever they are used, bounded in size."""

import os
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model.errors import WorldFailed
from tasks.files.hashing import file_digest
from tasks.files.names import proper_sha256
from tasks.files.spool import spooled, sweep_unfinished

_IN_USE_SECONDS = 3600.0
"""What was asked for within this time stays, whatever its size: a stage may be about to open it."""


class ContentCache:
    """A folder of contents; any number of processes may use it at once. Losing it costs transfers, nothing else."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes

    def get(self, sha256: str) -> Path | None:
        """The file with this content; None where there is none. A damaged one is removed. Raises WorldFailed."""
        path = self._path(sha256)
        with self._using(), suppress(FileNotFoundError):
            os.utime(path)  # used last now
            if file_digest(path) == sha256:
                return path
            path.unlink()
        return None

    def add(self, sha256: str, write: Callable[[Path], None]) -> Path | None:
        """Have `write` make the file; None, and nothing is kept, where its content turns out to be another one.

        Raises:
            WorldFailed: the folder cannot be written.
        """
        with self._using(), spooled(self.folder / "unfinished") as unfinished:
            write(unfinished)
            if file_digest(unfinished) != sha256:
                return None
            path = self._path(sha256)
            path.parent.mkdir(exist_ok=True)
            unfinished.chmod(0o444)
            return unfinished.replace(path)

    def trim(self) -> None:
        """Remove what was used longest ago, until the rest is within bounds."""
        sweep_unfinished(self.folder / "unfinished")
        found = []
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):  # another process trims too
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total, now = sum(size for _, size, _ in found), time.time()
        for used, size, path in sorted(found):
            if total <= self.most_bytes or now - used < _IN_USE_SECONDS:
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextmanager
    def _using(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorldFailed(
                f"cache {self.folder}: cannot be used: {error.strerror or error}; make room there, or choose another "
                "folder by the setting `home` (CONCEPTBOOTH_HOME)"
            ) from error

    def strange(self, known: Container[str]) -> dict[Path, int]:
        """Bytes by file of contents that are not among those known, and that nobody has asked for lately."""
        found = {}
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                if path.name not in known and time.time() - stat.st_mtime >= _IN_USE_SECONDS:
                    found[path] = stat.st_size
        return found

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / proper_sha256(sha256)

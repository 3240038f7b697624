"""What the artefact store needs of a place that keeps bytes under names; a folder is one, a bucket in S3 another.

Names are relative, with "/" between their parts. "Not there" and "cannot tell" are different answers everywhere: the
first is a value, the second raises StoreFailed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from model.errors import WorldFailed
from tasks.store.manifest import FileRecord

PLACE_SETTINGS = "CONCEPTBOOTH_STORE, or CONCEPTBOOTH_PRODUCTION_STORE where that is meant"
"""How people name another place; one that does not work does not know which of the two it is."""


_RECORD_PARTS = {"concepts": (2,), "promotions": (2,), "takedowns": (1,), "registries": (2, 3)}
"""How deep the records of these rooms lie."""


def is_record(name: str) -> bool:
    """Whether it is called as records are: file managers and network disks leave other files anywhere."""
    room, *parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return name.endswith((".json", ".jsonl")) and not hidden and len(parts) in _RECORD_PARTS.get(room, (len(parts),))


class StoreFailed(WorldFailed):
    """The store could not be read or written; `retryable` says whether waiting may help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class NotAsWritten(Exception):
    """A content is missing, or its size or bytes are not what they should be."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name, self.problem = name, problem


@dataclass(frozen=True, kw_only=True)
class Record:
    """A small document as it was read."""

    content: bytes
    version: str
    """Another one as soon as the content is another one."""


class Entry(NamedTuple):
    """One thing that a place keeps. A tuple, because a store may hold hundreds of thousands."""

    name: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the clock of the place


class Hold(Protocol):
    """The right to be alone at something."""

    def lost(self) -> bool:
        """Whether another may have taken over, because this process did not answer for too long."""


class Blobs(Protocol):
    """A place that keeps bytes; any number of processes may use it at once, from any number of machines.

    Every method raises StoreFailed where the place does not answer, or refuses.
    """

    address: str
    """Of the whole place, as a person would write it."""
    near: bool
    """Whether reading costs no transfer, so that contents may be hashed whenever they are asked about."""

    def where(self, name: str) -> str:
        """The full address of one thing."""

    def probe(self) -> None:
        """Prove it: write, read back, create exclusively; sweep what dead processes left. Raises InputError."""

    def read(self, name: str) -> Record | None:
        """A small document, or None where there is none."""

    def read_all(self, names: Iterable[str]) -> dict[str, Record]:
        """Those of the documents that are there, by name."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a document that is not there yet; False, and nothing is written, if it is. Of a race, one wins."""

    def replace(self, name: str, content: bytes, version: str) -> bool:
        """Write over a document that still has this version; False, and nothing is written, if it has not."""

    def write(self, name: str, content: bytes) -> None:
        """Write a document whatever is there; readers see the old one or the new one, never a part."""

    def delete(self, name: str) -> None:
        """Remove it, if it is there."""

    def delete_all(self, names: Collection[str]) -> None:
        """Remove many things, by few requests; what is not there is passed over. In no order."""

    def renew(self, name: str) -> bool:
        """Make a thing count as written now; False where there is none."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Everything whose name begins with `prefix`, which ends with "/", by as few requests as possible."""

    def no_files(self, prefix: str) -> list[str]:
        """What `entries` passes over: links, pipes, devices, by name. Whoever uses the folder itself follows them."""

    def names(self, prefix: str, last: str) -> set[str]:
        """Names that are `prefix`, two folders and `last`: quicker than `entries` where sizes cost a question each."""

    def put(self, contents: Mapping[str, tuple[Path, FileRecord]], *, rehash: bool) -> None:
        """Bring files in, by their new names; what is there without `problems` is renewed. None appears in part."""

    def problems(self, contents: Mapping[str, FileRecord], *, rehash: bool) -> dict[str, str]:
        """What is wrong with contents, by name: missing, another size, with `rehash` other bytes."""

    def fetch(self, contents: Mapping[str, FileRecord]) -> dict[str, Path]:
        """Files with these contents, to read and not to write; each has been hashed. Raises NotAsWritten.

        They stay at least as long as a stage needs to read them.
        """

    def alone(self, name: str, on_wait: Callable[[], None]) -> AbstractContextManager[Hold]:
        """Wait until nobody else, on any machine, is in here with this name; `on_wait` is called if one is.

        A holder that died frees it: at once, or where its death cannot be seen, within a minute.
        """

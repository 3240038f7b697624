"""Images that were taken down, on record in the store: who said so, when and why, and what was found then.

    takedowns/<number>.json     created before anything is done, written over once when all of it is done

The record keeps the image out of later trainings and promotions, in every project on this store.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.concepts.concepts import IMAGES_FOLDER
from tasks.concepts.image_sets import ImageSet
from tasks.files.names import proper_name
from tasks.store.documents import read_document
from tasks.store.store import Store

TAKEDOWNS = "takedowns/"
_NUMBERED = re.compile(r"takedowns/\d{6,}\.json")
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class SetMember:
    """An image in the set of a concept, as it was found."""

    concept: str
    file: str
    """In the concept's image folder."""


@dataclass(frozen=True, kw_only=True)
class Takedown:
    """One image that was taken down."""

    number: int
    sha256: str
    """Of the image as it was asked for: as stored, as prepared, or as it was brought."""
    images: Mapping[str, str | None]
    """sha256 of every file that is known to be this image, as stored or as brought; md5 of those that are stored."""
    sets: tuple[SetMember, ...]
    """Where it was taken out."""
    revoked: Mapping[str, tuple[str, ...]]
    """Contents of the trainings that saw it, by concept."""
    found: Mapping[str, Any]
    """The plan as it was shown and confirmed: sets, versions, production."""
    reason: str
    by: str
    at: str
    """UTC, ISO 8601."""
    finished: str | None = None
    """When all of it was done; None: it was interrupted, and the same command finishes it."""
    schema: int = SCHEMA

    @property
    def words(self) -> str:
        """When and why, in a message."""
        return f"was taken down on {self.at[:10]} (takedown {self.number}): {self.reason}"

    def is_about(self, sha256: str) -> bool:
        """Whether it is about this image, in whichever of its forms."""
        return sha256 == self.sha256 or sha256 in self.images

    def to_json(self) -> bytes:
        """Stable bytes."""
        return (json.dumps(asdict(self), sort_keys=True, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Takedown":
        """Read `to_json`'s bytes. Raises ValueError where they are none of this schema."""

        def build(values: dict[str, Any]) -> "Takedown":
            sets = tuple(SetMember(**member) for member in values.pop("sets"))
            revoked = {proper_name(concept): tuple(contents) for concept, contents in values.pop("revoked").items()}
            for member in sets:
                proper_name(member.concept), proper_name(member.file)
            return cls(sets=sets, revoked=revoked, **values)

        return read_document(content, "record of a takedown", SCHEMA, build)


@dataclass(frozen=True, kw_only=True)
class Takedowns:
    """All takedowns of a store, oldest first."""

    takedowns: tuple[Takedown, ...]

    def about(self, sha256: str) -> Takedown | None:
        """The newest takedown of this image."""
        return next((takedown for takedown in reversed(self.takedowns) if takedown.is_about(sha256)), None)

    def among(self, images: Iterable[Mapping[str, Any]]) -> Takedown | None:
        """The first takedown of one of these images, by `sha256` and `original_sha256`."""
        named = (image.get(name) for image in images for name in ("sha256", "original_sha256"))
        return next((takedown for sha256 in named if sha256 and (takedown := self.about(sha256))), None)

    def problems(self, concept: str, images: ImageSet) -> tuple[str, ...]:
        """Why nothing is trained on a set: it holds an image that was taken down, in whatever way it came back."""
        return tuple(
            f"concept '{concept}': {IMAGES_FOLDER}/{file.relpath} {self._by_md5[file.md5].words}; nothing is trained "
            "on it: take it out of the set"
            for file in images.files
            if file.md5 in self._by_md5
        )

    @cached_property
    def _by_md5(self) -> dict[str, Takedown]:
        """By the md5 of stored images."""
        return {md5: takedown for takedown in self.takedowns for md5 in takedown.images.values() if md5}


def read_takedowns(store: Store) -> Takedowns:
    """What was taken down, by one listing where that is nothing.

    Raises:
        InputError: a record that cannot be read: what it keeps out cannot be told.
        StoreFailed: the store does not answer.
    """
    paths = _paths(store)
    takedowns, problems = [], []
    for path, record in sorted(store.read_records(paths).items()) if paths else ():
        try:
            takedowns.append(Takedown.from_json(record.content))
        except ValueError as error:
            problems.append(f"record {path} of the store {store.address}: {error}; put it back from a copy")
    if problems:
        raise InputError(*problems)
    return Takedowns(takedowns=tuple(takedowns))


def begin_takedown(store: Store, make: Callable[[int], Takedown]) -> Takedown:
    """Write the next record; its number is given to `make`. Raises StoreFailed."""
    while True:
        last = _paths(store)[-1:]
        takedown = make(int(Path(last[0]).stem) + 1 if last else 1)
        if store.create_record(_path(takedown.number), takedown.to_json()):
            return takedown


def finish_takedown(store: Store, takedown: Takedown) -> None:
    """Write over a record, as it stands when everything is done. Raises StoreFailed."""
    store.write_record(_path(takedown.number), takedown.to_json())


def _paths(store: Store) -> list[str]:
    return [path for path in store.records(TAKEDOWNS) if _NUMBERED.fullmatch(path)]


def _path(number: int) -> str:
    return f"{TAKEDOWNS}{number:06}.json"

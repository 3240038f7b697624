"""Images that were taken down, on record in the store: who said so, when and why, and what was found then.

    takedowns/<number>.json             created before anything is done; sealed, and each names the one before it
    takedowns/<number>.finished.json    what it came to, when all of it was done

The record keeps the image out of later trainings and promotions, in every project on this store.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from model.errors import InputError
from tasks.concepts.concepts import IMAGES_FOLDER
from tasks.concepts.image_sets import ImageSet
from tasks.files.names import proper_name
from tasks.signing.keys import Signer
from tasks.store.documents import read_values
from tasks.store.sealed import sealed, unsealed
from tasks.store.sealed_chain import ChainLink, append_record, chain_path, read_chain_records
from tasks.store.shapes import check_fields
from tasks.store.store import Store

TAKEDOWNS = "takedowns/"
SCHEMA = 2
UNSEALED_SCHEMA = 1
"""Of records from before they were sealed, which were written over when they were finished; they read as before."""
KIND, FINISHED = "takedown", "finished takedown"
"""What their signatures are over."""
FINISHED_END = ".finished.json"
_OUTCOME = ("sets", "revoked", "images", "finished")
"""What the second record says anew."""


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

    @property
    def words(self) -> str:
        """When and why, in a message."""
        return f"was taken down on {self.at[:10]} (takedown {self.number}): {self.reason}"

    def is_about(self, sha256: str) -> bool:
        """Whether it is about this image, in whichever of its forms."""
        return sha256 == self.sha256 or sha256 in self.images

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Takedown":
        """Read what `to_json` gives. Raises ValueError where it is none of this schema."""

        def build(values: dict[str, Any]) -> "Takedown":
            del values["schema"]
            check_fields(cls, values)
            sets = tuple(SetMember(**member) for member in values.pop("sets"))
            revoked = {proper_name(concept): tuple(contents) for concept, contents in values.pop("revoked").items()}
            for member in sets:
                proper_name(member.concept), proper_name(member.file)
            return cls(sets=sets, revoked=revoked, **values)

        return read_values(dict(content), "record of a takedown", (SCHEMA, UNSEALED_SCHEMA), build)


@dataclass(frozen=True, kw_only=True)
class Takedowns:
    """All takedowns of a store, oldest first."""

    takedowns: tuple[Takedown, ...]

    def about(self, sha256: str) -> Takedown | None:
        """The newest takedown of this image."""
        return next((takedown for takedown in reversed(self.takedowns) if takedown.is_about(sha256)), None)

    def asked_as(self, words: str) -> Takedown | None:
        """The newest takedown of what was named so on the command line."""
        return next((takedown for takedown in reversed(self.takedowns) if takedown.found.get("asked") == words), None)

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
    takedowns, problems = examine_takedowns(store)
    if problems:
        raise InputError(*(f"{problem}; put it back from a copy" for problem in problems))
    return Takedowns(takedowns=takedowns)


def examine_takedowns(store: Store) -> tuple[tuple[Takedown, ...], list[str]]:
    """Those that can be read, and what is wrong with the records, one sentence each. Raises StoreFailed."""
    read = read_chain_records(store, TAKEDOWNS)
    problems, takedowns = list(read.problems), []
    outcomes = {path for path in store.records(TAKEDOWNS) if path.endswith(FINISHED_END)} if read.links else set()
    there = store.read_records(sorted(outcomes)) if outcomes else {}
    for link in read.links:
        path = _finished_path(link.number)
        try:
            takedown = Takedown.from_json(link.content)
            if path in there:
                takedown = Takedown.from_json({**link.content, **_outcome(there[path].content, link)})
            takedowns.append(takedown)
        except ValueError as error:
            at = path if path in there else chain_path(TAKEDOWNS, link.number)
            problems.append(f"record {at} of the store {store.address}: {error}")
    return tuple(takedowns), problems


def begin_takedown(store: Store, make: Callable[[int], Takedown], signer: Signer | None = None) -> Takedown:
    """Write the next record; its number is given to `make`. Raises StoreFailed."""
    written = append_record(store, TAKEDOWNS, KIND, lambda number: make(number).to_json(), signer)
    return Takedown.from_json(written)


def finish_takedown(store: Store, takedown: Takedown, signer: Signer | None = None) -> None:
    """Write down what it came to, when everything is done. Raises StoreFailed."""
    opening = next(link for link in read_chain_records(store, TAKEDOWNS).links if link.number == takedown.number)
    outcome = {name: value for name, value in takedown.to_json().items() if name in _OUTCOME}
    content = {"schema": SCHEMA, "number": takedown.number, "previous": opening.mark, **outcome}
    store.write_record(_finished_path(takedown.number), sealed(FINISHED, content, signer))


def _finished_path(number: int) -> str:
    return f"{TAKEDOWNS}{number:06}{FINISHED_END}"


def _outcome(document: bytes, opening: ChainLink) -> dict[str, Any]:
    """What a second record says anew. ValueError where it is not as it was sealed, or that of another takedown."""
    content, seal = unsealed(document)
    if seal is None or content.get("number") != opening.number or content.get("previous") != opening.mark:
        raise ValueError("is not about the record of its number as that is now")
    return {name: content[name] for name in _OUTCOME if name in content}

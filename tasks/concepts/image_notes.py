"""What is out of order in an image set, which `add` would have stored in another way: metadata, images without entry.

Whoever puts a photograph into the folder by hand brings its GPS position along, into DVC's cache and its remote.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.errors import InputError
from model.reading.files import read_file
from tasks.concepts.concepts import IMAGES_FOLDER, Concept
from tasks.concepts.image_origins import ORIGINS_FILE, image_origins
from tasks.concepts.image_sets import RECORD_FILE, ImageSet
from tasks.files.hashing import DigestMemory
from tasks.pictures.kinds import named_as_picture
from tasks.pictures.metadata import metadata_kinds
from tasks.project.settings import Settings

_MOST_BYTES = 2**30
_SHOWN = 3
"""Files of one kind that are named; the others are counted."""
_IMPORTED = re.compile(rb"^deps:", re.MULTILINE)


Kind = Literal["metadata", "no entry", "changed", "gone", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class ImageNote:
    """One thing that is out of order in a set."""

    concept: str
    kind: Kind
    said: str
    """A sentence with what mends it."""


class ImageNotes:
    """Looks at image sets, and remembers what it read of files that have not changed: a plan asks of thousands."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = DigestMemory(settings.home / "image-marks.json", read=_mark)
        self._entries = DigestMemory(settings.home / "image-entries.json", read=_entries)

    def of(self, concept: Concept, images: ImageSet) -> tuple[ImageNote, ...]:
        """What is out of order, one note a kind. InputError: images.yaml cannot be read.

        Sets that dvc.yaml makes, and those that were imported locked to a commit, are as their origin has them.
        """
        if self._settings.images == "record" or not concept.images.is_dir():
            return ()  # DVC's record counts, and the machine that edits the images tells
        if not is_brought(concept, images):
            return ()
        names = [file.relpath for file in images.files if named_as_picture(file.relpath)]
        try:
            marks = {name: self._files.digest(concept.images / name).partition(" ") for name in names}
        except OSError:
            return ()  # gone meanwhile: the next look tells
        kinds = {name: mark[2] for name, mark in marks.items() if mark[2]}
        sha256s = {name: mark[0] for name, mark in marks.items()}
        found = _said(concept, kinds, sha256s, self._entered(concept))
        return tuple(ImageNote(concept=concept.name, kind=kind, said=said) for kind, said in found)

    def save(self) -> None:
        """Remember what was read. Raises InputError where the folder cannot be used."""
        self._files.save()
        self._entries.save()

    def _entered(self, concept: Concept) -> dict[str, str]:
        """sha256 by file, as images.yaml says; read as YAML only where it changed."""
        file = concept.folder / ORIGINS_FILE
        if not file.exists():
            return {}
        known: dict[str, str] = json.loads(self._entries.digest(file))
        if "" in known:
            image_origins(concept)  # says what is wrong with it
        return known


def notes_of(settings: Settings, sets: Iterable[tuple[Concept, ImageSet]]) -> dict[str, tuple[ImageNote, ...]]:
    """What is out of order in many sets, by concept; those that are in order are left out.

    Raises InputError where the memory cannot be written.
    """
    look, found = ImageNotes(settings), {}
    for concept, images in sets:
        try:
            notes = look.of(concept, images)
        except InputError as error:  # images.yaml cannot be read
            notes = tuple(ImageNote(concept=concept.name, kind="unreadable", said=said) for said in error.problems)
        if notes:
            found[concept.name] = notes
    look.save()
    return found


def is_brought(concept: Concept, images: ImageSet) -> bool:
    """Whether somebody brought these images: no data set's import, and not made by dvc.yaml."""
    record = concept.folder / RECORD_FILE
    if record.exists():
        return _IMPORTED.search(record.read_bytes()) is None
    return images.state == "untracked" or (concept.folder / ORIGINS_FILE).exists()


def _said(
    concept: Concept, kinds: Mapping[str, str], sha256s: Mapping[str, str], entered: Mapping[str, str]
) -> Iterator[tuple[Kind, str]]:
    mend = f"`conceptbooth images {concept.name} --mend`"
    whose = f"concept '{concept.name}'"
    if kinds:
        what = ", ".join(sorted({kind for listed in kinds.values() for kind in listed.split(", ")}))
        said = (
            f"{whose}: {_named(list(kinds))} with metadata that was not taken out ({what}), which DVC keeps and sends"
        )
        yield "metadata", f"{said} on: {mend} takes it out"
    if unknown := [name for name in sha256s if name not in entered]:
        said = f"{whose}: {_named(unknown)} without an entry in {ORIGINS_FILE}: put there by hand, so that nobody can"
        yield "no entry", f"{said} tell where from; {mend} checks and enters {'it' if len(unknown) == 1 else 'them'}"
    if changed := [name for name, sha256 in sha256s.items() if name in entered and entered[name] != sha256]:
        many = len(changed) > 1
        said = f"{whose}: {_named(changed)} {'are' if many else 'is'} not what {ORIGINS_FILE} says: changed by hand"
        yield "changed", f"{said}; {mend} enters {'them' if many else 'it'} anew"
    if gone := [name for name in entered if name not in sha256s]:
        many = len(gone) > 1
        said = (
            f"{whose}: {_named(gone)} {'stand' if many else 'stands'} in {ORIGINS_FILE} and {'are' if many else 'is'}"
        )
        yield "gone", f"{said} not there: {mend} takes the {'entries' if many else 'entry'} out"


def _named(files: Sequence[str]) -> str:
    shown = ", ".join(f"{IMAGES_FOLDER}/{name}" for name in files[:_SHOWN])
    more = len(files) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _mark(path: Path) -> str:
    """sha256 of a picture file and, behind a space, the kinds of metadata in it."""
    try:
        content = read_file(path, str(path), _MOST_BYTES)
    except InputError as error:
        raise OSError(str(error)) from error
    return f"{hashlib.sha256(content).hexdigest()} {', '.join(metadata_kinds(content))}"


def _entries(path: Path) -> str:
    """What images.yaml says, as JSON; with an entry of the empty name where it cannot be read."""
    named = Concept.model_construct(name=path.parent.name, folder=path.parent)
    try:
        return json.dumps({origin.file: origin.sha256 for origin in image_origins(named)})
    except InputError:
        return json.dumps({"": ""})

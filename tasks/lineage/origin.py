"""Where a picture comes from: by the mark in it, or where that is gone, by the record of what was drawn.

Then the lineage of the version that made it, down to the images that it was trained on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.marks.content_credentials import Credentials, read_credentials
from model.marks.marking import Mark, read_mark
from tasks.concepts.image_checks import named_fingerprint
from tasks.concepts.image_reading import read_picture
from tasks.drawing.records import DrawnLook, keep_drawn
from tasks.lineage.chain import read_chain
from tasks.lineage.document import document
from tasks.lineage.drawn_index import DrawnIndex, Recognised, open_drawn
from tasks.lineage.head import find_head_of
from tasks.lineage.index import LineageIndex, open_index
from tasks.production.ledger import examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.store.store import Store, open_store


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of one picture."""

    picture: Path
    mark: Mark | None
    credentials: Credentials | None
    record: Recognised | None
    lineage: dict[str, Any] | None
    """The document of the version (`tasks.lineage.document`); None where this project knows no such version."""

    @property
    def made_by(self) -> tuple[str, str, int | None]:
        """Concept, content and number of the version: by the mark where there is one."""
        said = self.mark or self.record
        if said is None:
            raise ValueError("nothing is known of it")
        return said.concept, said.content, said.version

    @property
    def problems(self) -> tuple[str, ...]:
        """Why what it says is not to be believed, in sentences."""
        found = []
        if self.credentials is not None and self.credentials.state == "Invalid":
            found.append("its C2PA manifest does not hold")
        if self.record is not None and self.mark is None and self.record.keys_asked and not self.record.signed_by:
            found.append(
                f"the record {self.record.unsigned}, so that anybody who can write to the store may have made it"
            )
        if self.mark and self.record and self.record.content != self.mark.content and self.record.confidence == "high":
            found.append(
                f"its mark names content {self.mark.content[:12]} of {self.mark.concept}, and the record of a picture "
                f"that looks the same content {self.record.content[:12]} of {self.record.concept}"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "picture": str(self.picture),
            "mark": self.mark and asdict(self.mark),
            "record": self.record and self.record.to_json(),
            "c2pa": self.credentials and asdict(self.credentials),
            "problems": list(self.problems),
            "lineage": self.lineage,
        }


class Origins:
    """Answers for pictures of one project; made by `open_origins`."""

    def __init__(self, settings: Settings, store: Store, index: LineageIndex, drawn: DrawnIndex) -> None:
        self._settings, self._store, self._index, self._drawn = settings, store, index, drawn
        self._lineages: dict[tuple[str, str], dict[str, Any] | None] = {}

    @property
    def notes(self) -> Sequence[str]:
        """What is not known of the records, in sentences."""
        return self._drawn.notes

    def of(self, file: Path) -> Origin:
        """Where a picture comes from.

        Raises:
            InputError: no picture, or one without a mark that looks like nothing on record; in one sentence.
            StoreFailed: the store cannot be read.
        """
        mark, unmarked = None, None
        try:
            mark = read_mark(file)
        except InputError as error:
            unmarked = error
        try:
            pixels = read_picture(file).pixels
        except InputError as error:
            if mark is None:
                raise unmarked or error from None
            record = None  # a mark in what is no still picture
        else:
            record = self._drawn.recognise(pixels)
        if mark is None and record is None:
            looked = self._drawn.pictures
            beside = f"; of the drawn pictures on record ({looked:,}) none looks like it" if looked else ""
            raise InputError(f"{unmarked}{beside}")
        credentials = read_credentials(file.read_bytes())
        concept, content = (mark.concept, mark.content) if mark else (record.concept, record.content)  # type: ignore[union-attr]
        return Origin(
            picture=file,
            mark=mark,
            credentials=credentials,
            record=record,
            lineage=self._lineage(concept, content),
        )

    def take_in(self, origins: Sequence[Origin]) -> int:
        """Keep records of pictures that came from elsewhere, by their marks; how many were not on record before.

        Left out are those whose version this project does not know, or of which something is wrong. Raises StoreFailed.
        """
        new: dict[tuple[str, str, int | None], list[DrawnLook]] = {}
        for origin in origins:
            mark, record = origin.mark, origin.record
            if mark is None or origin.lineage is None or origin.problems:
                continue
            if record and record.content == mark.content and record.bits == 0 and record.seed == mark.seed:
                continue
            look = DrawnLook(
                fingerprint=named_fingerprint(read_picture(origin.picture).pixels),
                seed=mark.seed,
                index=mark.index,
                prompt=mark.prompt if self._settings.drawn_records == "prompts" else None,
            )
            new.setdefault(origin.made_by, []).append(look)
        for (concept, content, version), looks in new.items():
            keep_drawn(self._store, looks, concept=concept, content=content, version=version, told_by="mark")
        return sum(map(len, new.values()))

    def _lineage(self, concept: str, content: str) -> dict[str, Any] | None:
        if (concept, content) not in self._lineages:
            head = find_head_of(self._settings, self._store, self._index, concept, content)
            found = None
            if head is not None:
                chain = read_chain(self._store, self._index, head)
                # `lineage --verify` tells of the ledger's problems
                ledger, _ = examine_ledger(open_production(self._settings), concept)
                found = document(chain, ledger.records)
            self._lineages[concept, content] = found
        return self._lineages[concept, content]


@contextmanager
def open_origins(settings: Settings) -> Iterator[Origins]:
    """Ready to answer. Raises as `tasks.lineage.index.open_index`."""
    store = open_store(settings)
    with open_index(settings, store) as index, open_drawn(settings, store) as drawn:
        yield Origins(settings, store, index, drawn)

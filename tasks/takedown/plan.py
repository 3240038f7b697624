"""What taking an image down means: which sets hold it, which trainings saw it, what serves because of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError
from tasks.concepts.concepts import Concept, concept_names, load_concept
from tasks.concepts.image_checks import FEWEST_IMAGES
from tasks.concepts.image_edits import edit_obstacle
from tasks.concepts.image_origins import image_origins
from tasks.concepts.image_sets import ImageSet, git_state, image_set
from tasks.concepts.takedown_records import SetMember, Takedown, read_takedowns
from tasks.files.hashing import DigestMemory, file_digest
from tasks.lineage.index import LineageIndex
from tasks.lineage.prepared_images import prepared_images
from tasks.lineage.sightings import Sighting, digest_asked, unseen, who_saw
from tasks.production.ledger import Promotion
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.revocation import stand_ins
from tasks.store.blobs import Blobs
from tasks.store.store import Damaged, Store


@dataclass(frozen=True, kw_only=True)
class SetChange:
    """An image set that holds the image."""

    member: SetMember
    left: int
    """How many images the set has without it."""
    obstacle: str | None
    """Why it cannot be taken out from here; None if it can."""

    @property
    def said(self) -> str:
        """What becomes of the set."""
        if self.obstacle:
            return f"stays until its owner takes it out: {self.obstacle}"
        many = f"{self.left} image{'' if self.left == 1 else 's'} left"
        if self.left < FEWEST_IMAGES:
            return f"{many}, fewer than {FEWEST_IMAGES}: nothing is trained on it until its owner adds others"
        return f"{many}: the next night trains on them"


@dataclass(frozen=True, kw_only=True)
class Move:
    """What changes in production."""

    serving: Promotion
    """What serves, and saw the image."""
    instead: Promotion | None
    """What serves then; None: nothing."""


@dataclass(frozen=True, kw_only=True)
class TakedownPlan:
    """Everything that was found about an image, and what a takedown would change."""

    asked: str
    sha256: str
    images: Mapping[str, str | None]
    """As `Takedown.images`."""
    sets: tuple[SetChange, ...]
    seen_by: tuple[Sighting, ...]
    moves: tuple[Move, ...]
    notes: tuple[str, ...]
    before: Takedown | None
    """The newest takedown of this image; it may be unfinished."""

    @property
    def revoked(self) -> dict[str, tuple[str, ...]]:
        """Contents of the trainings that saw the image, by concept."""
        concepts = sorted({sighting.concept for sighting in self.seen_by if sighting.content})
        return {
            concept: tuple(sorted({s.content for s in self.seen_by if s.content and s.concept == concept}))
            for concept in concepts
        }

    @property
    def unfinished(self) -> Takedown | None:
        """The takedown that was interrupted."""
        return self.before if self.before and self.before.finished is None else None

    @property
    def to_do(self) -> bool:
        """Whether there is anything to change."""
        removable = any(change.obstacle is None for change in self.sets)
        unrevoked = any(sighting.content and not sighting.revoked for sighting in self.seen_by)
        return removable or unrevoked or self.unfinished is not None

    def to_json(self) -> dict[str, Any]:
        """For scripts, and for the record."""
        named = ("concept", "version", "in_production", "aliases", "promotions", "revoked", "content", "key", "created")
        return {
            "asked": self.asked,
            "sha256": self.sha256,
            "sets": [{**asdict(c.member), "left": c.left, "obstacle": c.obstacle} for c in self.sets],
            "versions": [{name: _plain(getattr(sighting, name)) for name in named} for sighting in self.seen_by],
            "production": [
                {
                    "concept": move.serving.concept,
                    "version": move.serving.version,
                    "instead": move.instead and {"version": move.instead.version, "seq": move.instead.seq},
                }
                for move in self.moves
            ],
            "notes": list(self.notes),
        }


def _plain(value: Any) -> Any:
    """As JSON reads it back."""
    return list(value) if isinstance(value, tuple) else value


def plan_takedown(settings: Settings, store: Store, place: Blobs, index: LineageIndex, asked: str) -> TakedownPlan:
    """Find everything that has to do with an image: a file, or the sha256 of one. Changes nothing.

    Raises:
        InputError: neither a file nor a sha256; an image that no set holds and nobody saw; a ledger that was changed.
        StoreFailed: store, production store or DVC's remote do not answer.
    """
    taken = read_takedowns(store)
    # The same command, after it was killed: the file may have left its set, and only the record knows what it was.
    named_before = None if Path(asked).is_file() else taken.asked_as(asked)
    sha256 = named_before.sha256 if named_before else digest_asked(asked)
    before = taken.about(sha256)
    known = {sha256, *index.stored_of_original(sha256), *(before.images if before else ())}
    known |= {image.sha256 for sha in known for image in index.images(sha)}
    images: dict[str, str | None] = dict.fromkeys(sorted(known))
    images |= {**(before.images if before else {}), **_stored(store, index, known)}
    notes: list[str] = []
    sets = []
    git, memory = git_state(settings), DigestMemory(settings.home / "image-digests.json", "md5")
    for concept in _concepts(settings, notes):
        try:
            there = image_set(settings, concept, git, memory)
            found, also = _in_set(settings, concept, there, images)
        except InputError as error:
            notes += _not_known(concept.name, error)
            continue
        sets += found
        images |= also
    seen = who_saw(settings, store, index, sha256 if named_before else asked, images)
    if not (sets or seen.found or before):
        raise InputError(unseen(seen, " and all image sets of this project"), *notes, *seen.notes)
    return TakedownPlan(
        asked=asked,
        sha256=sha256,
        images=images,
        sets=tuple(sets),
        seen_by=seen.found,
        moves=tuple(_moves(settings, place, seen.found)),
        notes=(*notes, *seen.notes),
        before=before,
    )


def _stored(store: Store, index: LineageIndex, sha256s: Collection[str]) -> dict[str, str | None]:
    """md5 of stored images by sha256, and the files that they were made from, as the store's manifests say."""
    found: dict[str, str | None] = {}
    for prepared in sorted({image.prepared for sha256 in sha256s for image in index.images(sha256)}):
        try:
            manifest = store.get("prepare", prepared)
            images = [image for image in prepared_images(store, manifest) if image["sha256"] in sha256s]
        except Damaged:
            continue  # the sightings say so
        found |= {image["sha256"]: image["md5"] for image in images}
        origins = [origin for origin in manifest.stated.get("images", ()) if origin["sha256"] in sha256s]
        found |= {origin["original_sha256"]: None for origin in origins}
    return found


def _concepts(settings: Settings, notes: list[str]) -> Iterator[Concept]:
    for name in concept_names(settings):
        try:
            yield load_concept(settings, name)
        except InputError as error:
            notes += _not_known(name, error)


def _not_known(concept: str, error: InputError) -> list[str]:
    return [f"whether concept '{concept}' holds it is not known: {problem}" for problem in error.problems]


def _in_set(
    settings: Settings, concept: Concept, there: ImageSet, images: Mapping[str, str | None]
) -> tuple[list[SetChange], dict[str, str | None]]:
    """Where a concept's set holds the image, and by which other hashes it is known there."""
    origins = {origin.file: origin for origin in image_origins(concept)}
    md5s = {md5 for md5 in images.values() if md5}
    held: dict[str, str | None] = {}
    also: dict[str, str | None] = {}
    for file in there.files:
        origin, path = origins.get(file.relpath), concept.images / file.relpath
        named = {origin.sha256, origin.original_sha256} if origin else set()
        if not named and not md5s and path.is_file():  # nothing is on record about it: its bytes tell
            named = {file_digest(path)}
        if file.md5 in md5s or named & images.keys():
            held[file.relpath] = file.md5
            also |= {origin.sha256: file.md5, origin.original_sha256: None} if origin else {}
            also |= {} if origin else dict.fromkeys(named, file.md5)
    # of a takedown that was interrupted: the file is gone, and images.yaml still names it
    gone = [file for file, origin in origins.items() if file not in held and origin.sha256 in images]
    obstacle = edit_obstacle(settings, concept)
    left = len(there.files) - len(held)
    members = [SetMember(concept=concept.name, file=file) for file in (*held, *gone)]
    return [SetChange(member=member, left=left, obstacle=obstacle) for member in members], also


def _moves(settings: Settings, place: Blobs, seen_by: Collection[Sighting]) -> Iterator[Move]:
    for concept in sorted({sighting.concept for sighting in seen_by}):
        ledger = read_whole_ledger(settings, place, concept)
        contents = {s.content for s in seen_by if s.content and s.concept == concept}
        if ledger.serving and ledger.serving.content in contents:
            yield Move(serving=ledger.serving, instead=next(iter(stand_ins(ledger, contents)), None))

"""Which models saw an image: every training on it, with its registered version, aliases and promotions.

The index finds the trainings; what it found is read again from the store, which alone is believed.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from model.errors import InputError
from model.reading.pictures import OURS, open_picture
from tasks.concepts.image_reading import read_picture
from tasks.files.hashing import file_digest
from tasks.lineage.index import IndexedImage, LineageIndex, Training
from tasks.lineage.looks import candidates, is_comparable, overlap, patterns_of, whole_likenesses
from tasks.lineage.prepared_images import prepared_images
from tasks.plan.last_training import read_last_training
from tasks.production.ledger import Ledger, concepts_in, examine_ledger
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, RegistryUnknown, registered_versions
from tasks.registry.versions import EVALUATION_TAG
from tasks.store.store import Damaged, Store

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class Match:
    """An image in the store that is the one asked for, or looks like it."""

    file: str
    """In the set of prepared images."""
    sha256: str
    """Of the file in the image set."""
    how: str
    """In words: the stored image itself, the file it was made from, nearly the same picture."""
    bits: int = 0
    """Of the fingerprint's 255 that differ: of the whole picture, or of the part that both show."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A training that read the image."""

    concept: str
    version: int | None
    """Of the registered model; None where the training is not registered, or that is not known."""
    in_production: bool
    aliases: tuple[str, ...]
    promotions: tuple[int, ...]
    """Numbers of the ledger's entries for this version."""
    revoked: str | None
    """When and why it was revoked; None if it was not."""
    stage: str
    """What stands at the training's end: "evaluate", or a training stage where nothing was evaluated."""
    key: str
    content: str | None
    """Key of its content, by which it is registered and promoted; None where it was not evaluated."""
    created: str
    matches: tuple[Match, ...]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Production first, then what was promoted, what an alias names, what is registered, and the newest."""
        order = (not self.in_production, not self.promotions, not self.aliases, self.version is None)
        return (*order, self.concept, -(self.version or 0), self.created)


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """The answer."""

    asked: str
    sha256: str | None
    """Of what was asked for; None where it was looked for by its looks."""
    found: tuple[Sighting, ...]
    trainings: int
    """How many trainings were looked through."""
    notes: tuple[str, ...] = field(default=())
    """What is not known, in sentences."""


def who_saw(settings: Settings, store: Store, index: LineageIndex, asked: str, same: Iterable[str] = ()) -> Sightings:
    """Every training on an image, given as a file or as the sha256 of one.

    The file may be the stored image, the prepared one, or the one that was brought, before `add` stripped it. `same`
    are hashes of other stored images that are known to be this one.

    Raises:
        InputError: neither a file nor a sha256.
        StoreFailed: the store cannot be read.
    """
    sha256 = digest_asked(asked)
    matches = _gathered((image, "the image itself", 0) for image in index.images(sha256))
    known = {**dict.fromkeys(same, "it"), **index.stored_of_original(sha256)}
    for stored, name in known.items():
        made_from_it = ((image, f"made from {name}", 0) for image in index.images(stored))
        matches = {**_gathered(made_from_it), **matches}
    return _answer(settings, store, index, asked, sha256, matches)


LOOKED_FOR = (
    "looked for: the same picture resized, recompressed, brightened, cropped by up to a tenth of each side or with as "
    "much added, and each of these mirrored"
)
NOT_LOOKED_FOR = "not looked for: a smaller part of the picture, turned, redrawn, in other colours, a part of a collage"
"""What is told by looks and what is not, for whoever reads that nothing was found."""


def who_saw_alike(settings: Settings, store: Store, index: LineageIndex, file: Path) -> Sightings:
    """Every training on a picture that looks like this one, or of which this one is a part; see LOOKED_FOR.

    Raises:
        InputError: no picture in a form that is read.
        StoreFailed: the store cannot be read.
    """
    picture = read_picture(file).pixels
    images = [image for image in index.images() if is_comparable(image.fingerprint)]
    patterns = patterns_of([image.fingerprint for image in images])
    alike = whole_likenesses(picture, patterns)
    others = {images[i].fingerprint: i for i in reversed(range(len(images))) if i not in alike}  # each picture once
    first, lost = list(others.values()), 0
    for place, guess in candidates(picture, patterns[first]):
        stored = _stored_picture(store, images[first[place]])
        if stored is None:
            lost += 1
        elif likeness := overlap(picture, stored, guess):
            same = images[first[place]].fingerprint
            alike |= {i: likeness for i, image in enumerate(images) if image.fingerprint == same}
    notes = [f"not compared, so whether it is a part of them is not known: {lost} whose files the store lacks"] * bool(
        lost
    )
    matches = _gathered((images[i], alike[i].words, alike[i].bits) for i in sorted(alike))
    return _answer(settings, store, index, str(file), None, matches, notes)


def _stored_picture(store: Store, image: IndexedImage) -> Image.Image | None:
    """The prepared picture, its bytes hashed; None where the store does not have it as it was."""
    try:
        path = store.file(store.get("prepare", image.prepared), image.file)
        with open_picture(path, OURS) as picture:
            return picture.convert("RGB")
    except (Damaged, KeyError, OSError, Image.DecompressionBombError):
        return None


def unseen(answer: Sightings, also: str = "") -> str:
    """That nobody saw the image, what was looked through, and what may help."""
    looked = f"{answer.trainings} training{'' if answer.trainings == 1 else 's'} in the store{also}"
    return (
        f"image {answer.asked} (sha256 {str(answer.sha256)[:12]}): no model saw it; looked through {looked}. "
        "`conceptbooth lineage --near FILE` looks for pictures that look like it: resized, recompressed, mirrored, "
        "cropped by up to a tenth"
    )


def digest_asked(asked: str) -> str:
    """sha256 of a file, or the sha256 that was given. InputError where it is neither."""
    path = Path(asked)
    if path.is_file():
        return file_digest(path)
    if _SHA256.fullmatch(asked):
        return asked.lower()
    raise InputError(f"image {asked}: there is no such file, and it is no sha256 (64 hex digits)")


def _gathered(found: Iterable[tuple[IndexedImage, str, int]]) -> dict[str, list[Match]]:
    """Matches by the set of prepared images that holds them."""
    sets: dict[str, list[Match]] = {}
    for image, how, bits in found:
        sets.setdefault(image.prepared, []).append(Match(file=image.file, sha256=image.sha256, how=how, bits=bits))
    return sets


def _answer(
    settings: Settings,
    store: Store,
    index: LineageIndex,
    asked: str,
    sha256: str | None,
    matches: Mapping[str, list[Match]],
    noticed: Sequence[str] = (),
) -> Sightings:
    notes = [*(f"not read, so not known: {sentence}" for sentence in index.unreadable), *noticed]
    confirmed = {key: found for key, found in matches.items() if _holds(store, key, found, notes)}
    trainings = _confirmed(store, index.trainings_on(confirmed), notes)
    versions: dict[str, list[KnownVersion]] = {}
    try:
        known = registered_versions(settings)
    except RegistryUnknown as unknown:
        notes.append(f"{unknown}: versions and aliases are those of the store's own records")
        known = {}
    for version in (version for of_concept in known.values() for version in of_concept):
        versions.setdefault(version.tags.get(EVALUATION_TAG, ""), []).append(version)
    lost = sum(len(versions[key]) for key in versions.keys() - index.evaluations())
    if lost:
        notes.append(f"{lost} registered versions have no training in this store: what they saw is not known")
    versions_of = {t.key: versions.get(t.key) or _recorded(store, settings, t, known) for t in trainings}
    concepts = {training.concept for training in trainings}
    concepts |= {version.concept for of_it in versions_of.values() for version in of_it}
    ledgers = _ledgers(settings, concepts, notes)
    found: list[Sighting] = []
    for training in trainings:
        of_it: Sequence[KnownVersion | None] = versions_of[training.key] or [None]
        found += [_sighting(training, version, ledgers, confirmed) for version in of_it]
    return Sightings(
        asked=asked,
        sha256=sha256,
        found=tuple(sorted(found, key=lambda sighting: sighting.rank)),
        trainings=index.count_trainings(),
        notes=tuple(notes),
    )


def _holds(store: Store, prepared: str, found: list[Match], notes: list[str]) -> bool:
    """Whether the store's manifest, too, says that these images are in the set."""
    try:
        manifest = store.get("prepare", prepared)
        there = {image["file"]: image["sha256"] for image in prepared_images(store, manifest)}
    except Damaged as damage:
        notes.append(f"known by the index alone, the store's manifest cannot be read: {damage}")
        return True
    return all(there.get(match.file) == match.sha256 for match in found)


def _confirmed(store: Store, trainings: list[Training], notes: list[str]) -> list[Training]:
    """Those whose manifests in the store, too, say that they read the set."""
    paths = {f"stages/{training.stage}/{training.key}/manifest.json": training for training in trainings}
    records = store.read_records(paths)
    confirmed = []
    for path, training in paths.items():
        try:
            inputs = json.loads(records[path].content)["inputs"]
            said = {entry["kind"]: entry["key"] for entry in inputs}.get("prepare") == training.prepared
        except (ValueError, KeyError, TypeError) as error:
            notes.append(f"known by the index alone, the store's manifest cannot be read: {path}: {error!r}")
            said = True
        if said:
            confirmed.append(training)
    return confirmed


def _recorded(store: Store, settings: Settings, training: Training, known: Mapping[str, Any]) -> list[KnownVersion]:
    """The version by the store's own record, where the registry could not be asked or knows nothing of the concept."""
    if training.concept in known:
        return []
    record = read_last_training(store, settings, training.concept)
    if record is None or record.version is None or record.content != training.content:
        return []
    return [KnownVersion(concept=training.concept, version=record.version)]


def _ledgers(settings: Settings, concepts: set[str], notes: list[str]) -> dict[str, Ledger]:
    """The production ledgers of these concepts."""
    place, ledgers = open_production(settings), {}
    for concept in sorted(concepts & set(concepts_in(place))):
        ledgers[concept], problems = examine_ledger(place, concept)
        notes += problems
    return ledgers


def _sighting(
    training: Training,
    version: KnownVersion | None,
    ledgers: Mapping[str, Ledger],
    matches: Mapping[str, list[Match]],
) -> Sighting:
    concept, content = version.concept if version else training.concept, training.content
    ledger = ledgers.get(concept)
    records = [record for record in ledger.records if record.content == content] if ledger else []
    serving = ledger.serving if ledger else None
    return Sighting(
        concept=concept,
        version=version.version if version else None,
        in_production=serving is not None and serving.content == content,
        aliases=tuple(sorted(version.aliases)) if version else (),
        promotions=tuple(record.seq for record in records),
        revoked=ledger.revoked[content].words if ledger and content in ledger.revoked else None,
        stage=training.stage,
        key=training.key,
        content=content,
        created=training.created,
        matches=tuple(matches[training.prepared]),
    )

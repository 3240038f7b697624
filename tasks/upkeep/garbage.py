"""What of an artefact store is needed, and what may go: decided over manifests alone, without touching anything.

Needed is what is named, and all that the manifests' inputs reach from there. Whatever cannot be told stops everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from model.errors import WorkFailed
from tasks.registry.training_facts import evaluated_content
from tasks.store.manifest import FileRecord, Manifest
from tasks.store.store import Damaged, Inventory

ArtefactKey = tuple[str, str]
"""Stage and key."""
DAY = 86400.0
"""In seconds; contents younger than this stay, because publishing puts them before their manifest."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What is needed from outside the store, by who needs it: places, or hashes that a document names."""

    promoted: frozenset[str]
    registered: frozenset[ArtefactKey]
    planned: frozenset[ArtefactKey]
    registered_elsewhere: frozenset[str]
    recorded: frozenset[str]
    keep_seconds: float
    """Artefacts that were made or used within this time are needed by a run."""


@dataclass(frozen=True, kw_only=True)
class Unneeded:
    """An artefact that may go, and the contents that only such artefacts name."""

    stage: str
    key: str
    manifest: Manifest | None
    """None where it cannot be read."""
    idle_seconds: float
    """Since it was made or used last."""
    contents: Mapping[str, int]
    """Bytes by sha256. What several name is counted with the first."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What stays and what goes."""

    kept: Mapping[ArtefactKey, str]
    """Who needs an artefact: the name of a field of `Needs`, or "recent"; the first that does."""
    rounds: tuple[tuple[Unneeded, ...], ...]
    """Artefacts that go, in the order in which they may: nothing before what reads it."""
    loose: Mapping[str, int]
    """Bytes by sha256 of contents that no manifest names: a publication that was never finished."""
    young: int
    """Contents that nothing needs and that are too young to go."""
    kept_bytes: int

    @property
    def artefacts(self) -> tuple[Unneeded, ...]:
        """All that go."""
        return tuple(artefact for listed in self.rounds for artefact in listed)

    @property
    def contents(self) -> dict[str, int]:
        """Bytes by sha256 of all contents that go."""
        named = {sha256: size for artefact in self.artefacts for sha256, size in artefact.contents.items()}
        return {**named, **self.loose}


def find_garbage(
    inventory: Inventory, manifests: Mapping[ArtefactKey, Manifest | Damaged], needs: Needs, now: float
) -> Garbage:
    """Sort out everything in the inventory; `manifests` are those that it lists, `now` is by the clock of the store.

    Raises:
        WorkFailed: a manifest that is needed cannot be read, so what it was made from is not known.
    """
    reads = {place: _reads(manifest, manifests) for place, manifest in manifests.items()}
    ages = {place: now - inventory.manifests[place].modified for place in manifests}
    roots = {
        "promoted": _named(manifests, needs.promoted),
        "registered": needs.registered & manifests.keys(),
        "planned": needs.planned & manifests.keys(),
        "registered_elsewhere": _named(manifests, needs.registered_elsewhere),
        "recorded": _named(manifests, needs.recorded),
        "recent": {place for place, age in ages.items() if age < needs.keep_seconds},
    }
    kept: dict[ArtefactKey, str] = {}
    for who, places in roots.items():
        kept |= dict.fromkeys(reachable(places, reads) - kept.keys(), who)
    _refuse_unreadable(kept, manifests)
    wanted = {record.sha256 for place in kept for record in _files(manifests[place]).values()}
    wanted |= needs.promoted | needs.registered_elsewhere | needs.recorded
    unwanted = {sha256: entry for sha256, entry in inventory.contents.items() if sha256 not in wanted}
    old = {sha256: entry.size for sha256, entry in unwanted.items() if now - entry.modified >= DAY}
    loose = dict(old)
    rounds = []
    for listed in deletion_order(manifests.keys() - kept.keys(), reads):
        gone = []
        for stage, key in listed:
            manifest = manifests[stage, key]
            named = {record.sha256 for record in _files(manifest).values()}
            contents = {sha256: loose.pop(sha256) for sha256 in sorted(named & loose.keys())}
            readable = manifest if isinstance(manifest, Manifest) else None
            age = ages[stage, key]
            gone.append(Unneeded(stage=stage, key=key, manifest=readable, idle_seconds=age, contents=contents))
        rounds.append(tuple(gone))
    return Garbage(
        kept=kept,
        rounds=tuple(rounds),
        loose=loose,
        young=len(unwanted) - len(old),
        kept_bytes=sum(entry.size for sha256, entry in inventory.contents.items() if sha256 not in old),
    )


def reachable(roots: Iterable[ArtefactKey], reads: Mapping[ArtefactKey, Iterable[ArtefactKey]]) -> set[ArtefactKey]:
    """The roots, and everything that they were made from, step by step."""
    found: set[ArtefactKey] = set()
    ahead = list(roots)
    while ahead:
        place = ahead.pop()
        if place not in found:
            found.add(place)
            ahead += reads[place]
    return found


def deletion_order(
    places: Iterable[ArtefactKey], reads: Mapping[ArtefactKey, Iterable[ArtefactKey]]
) -> list[list[ArtefactKey]]:
    """Places in rounds, so that each comes after all that read it: what is left is whole whenever one stops."""
    order: TopologicalSorter[ArtefactKey] = TopologicalSorter()
    chosen = set(places)
    for place in chosen:
        order.add(place)
        for source in chosen.intersection(reads[place]):
            order.add(source, place)
    order.prepare()
    rounds = []
    while order.is_active():
        ready = sorted(order.get_ready())
        order.done(*ready)
        rounds.append(ready)
    return rounds


def _reads(manifest: Manifest | Damaged, there: Mapping[ArtefactKey, object]) -> list[ArtefactKey]:
    """The artefacts of the store that this one was made from; images and models lie elsewhere."""
    if isinstance(manifest, Damaged):
        return []
    return [(entry.kind, entry.key) for entry in manifest.inputs if (entry.kind, entry.key) in there]


def _named(manifests: Mapping[ArtefactKey, Manifest | Damaged], hashes: frozenset[str]) -> set[ArtefactKey]:
    """Artefacts that a document names: by their key, or evaluations by the key of the content that was registered."""
    found = {place for place in manifests if place[1] in hashes}
    for place, manifest in manifests.items():
        if place[0] == "evaluate" and isinstance(manifest, Manifest) and _content(manifest) in hashes:
            found.add(place)
    return found


def _content(evaluation: Manifest) -> str | None:
    """By which it is registered; None where it read no training."""
    trained = any(entry.kind.startswith("train-") for entry in evaluation.inputs)
    return evaluated_content(evaluation) if trained else None


def _files(manifest: Manifest | Damaged) -> Mapping[str, FileRecord]:
    return manifest.files if isinstance(manifest, Manifest) else {}


def _refuse_unreadable(kept: Mapping[ArtefactKey, str], manifests: Mapping[ArtefactKey, Manifest | Damaged]) -> None:
    found = {place: manifests[place] for place in sorted(kept)}
    unreadable = [f"{manifest} ({kept[place]})" for place, manifest in found.items() if isinstance(manifest, Damaged)]
    if unreadable:
        raise WorkFailed(
            "nothing was removed, because what these were made from cannot be told, and they are needed: "
            f"{'; '.join(unreadable)}; `conceptbooth train` makes what is planned again, the others come from a backup"
        )

"""What is needed is exactly what is named and all that it was made from: over many small random stores."""

import random
from dataclasses import dataclass, field

import pytest

from model.errors import WorkFailed
from tasks.files.hashing import digest_of
from tasks.store.blobs import Entry
from tasks.store.manifest import FileRecord, Input, Manifest
from tasks.store.store import Damaged, Inventory
from tasks.upkeep.garbage import DAY, ArtefactKey, Needs, find_garbage

NOW = 1e9
WEEK = 7 * DAY
STAGES = ("prepare", "train-1-embedding", "train-2-unet", "evaluate", "gallery")


@dataclass
class World:
    """A made-up store: manifests with what they read and hold, and when things were written."""

    manifests: dict[ArtefactKey, Manifest | Damaged] = field(default_factory=dict)
    ages: dict[ArtefactKey, float] = field(default_factory=dict)
    contents: dict[str, float] = field(default_factory=dict)

    def add(
        self, place: ArtefactKey, reads: tuple[ArtefactKey, ...] = (), files: tuple[str, ...] = (), age: float = WEEK
    ) -> ArtefactKey:
        stage, key = place
        self.manifests[place] = Manifest(
            stage=stage,
            key=key,
            # Every stage reads something that is no artefact, too.
            inputs=tuple(Input(kind=kind, key=key, digest="") for kind, key in (*reads, ("image_set", "0" * 32))),
            parameters={},
            code={},
            packages={},
            seed=0,
            numeric_policy={},
            device="cpu",
            wall_seconds=1.0,
            files={f"{number}": FileRecord(sha256=sha256, size=10) for number, sha256 in enumerate(files)},
            created="2026-01-01T00:00:00+00:00",
        )
        self.ages[place] = age
        for sha256 in files:
            self.contents.setdefault(sha256, age)
        return place

    def find_garbage(self, **needed: object):
        inventory = Inventory(
            manifests={place: Entry(name="", size=1, modified=NOW - age) for place, age in self.ages.items()},
            contents={sha256: Entry(name="", size=10, modified=NOW - age) for sha256, age in self.contents.items()},
        )
        nothing = {
            name: frozenset() for name in ("promoted", "registered", "planned", "registered_elsewhere", "recorded")
        }
        return find_garbage(inventory, self.manifests, Needs(**{**nothing, "keep_seconds": WEEK, **needed}), NOW)


def random_world(rng: random.Random) -> World:
    """Artefacts that read earlier ones, share contents, and are old or not; and contents that nobody names."""
    world, places = World(), []
    pool = [digest_of(["content", number]) for number in range(30)]
    for number in range(rng.randint(1, 25)):
        place = rng.choice(STAGES), digest_of(["key", number])
        reads = tuple(rng.sample(places, rng.randint(0, min(3, len(places)))))
        if rng.random() < 0.2:
            reads += (("prepare", digest_of(["gone", number])),)  # its manifest is not there any more
        files = tuple(rng.sample(pool, rng.randint(0, 4)))
        places.append(world.add(place, reads, files, age=rng.choice([0.5 * DAY, 6 * DAY, WEEK, 90 * DAY])))
    for sha256 in rng.sample(pool, 10):
        world.contents[sha256] = rng.choice([0.5 * DAY, DAY, 90 * DAY])
    return world


def needed_slowly(world: World, roots: set[ArtefactKey]) -> set[ArtefactKey]:
    """Another way to the same: grow the set until nothing more comes in."""
    needed = set(roots)
    while True:
        reads = {(i.kind, i.key) for place in needed for i in world.manifests[place].inputs}
        if (more := needed | (reads & world.manifests.keys())) == needed:
            return needed
        needed = more


@pytest.mark.parametrize("seed", range(60))
def test_what_is_kept_is_what_is_named_and_all_it_was_made_from(seed):
    rng = random.Random(seed)
    world = random_world(rng)
    places = sorted(world.manifests)
    some = {who: rng.sample(places, rng.randint(0, min(2, len(places)))) for who in ("planned", "registered")}
    promoted = rng.sample(places, rng.randint(0, 1))
    named_content = rng.sample(sorted(world.contents), rng.randint(0, 1))
    verdict = world.find_garbage(
        planned=frozenset(some["planned"]),
        registered=frozenset([*some["registered"], ("evaluate", "f" * 64)]),  # one that the store does not have
        promoted=frozenset([*(key for _, key in promoted), *named_content]),
    )
    recent = {place for place, age in world.ages.items() if age < WEEK}
    kept = needed_slowly(world, {*some["planned"], *some["registered"], *promoted} | recent)
    assert verdict.kept.keys() == kept
    gone = [(artefact.stage, artefact.key) for artefact in verdict.artefacts]
    assert sorted(gone) == sorted(world.manifests.keys() - kept)
    held = {record.sha256 for place in kept for record in world.manifests[place].files.values()} | set(named_content)
    assert set(verdict.contents) == {s for s, age in world.contents.items() if s not in held and age >= DAY}
    assert verdict.young == sum(age < DAY for s, age in world.contents.items() if s not in held)
    assert sum(verdict.contents.values()) + verdict.kept_bytes == 10 * len(world.contents)


@pytest.mark.parametrize("seed", range(60))
def test_wherever_it_is_stopped_no_artefact_that_is_left_lacks_what_it_was_made_from(seed):
    world = random_world(random.Random(seed))
    left = set(world.manifests)
    for removed in world.find_garbage(keep_seconds=0).rounds:
        for artefact in removed:  # in any order within a round: the last of it may be the one that was not removed
            others = left - {(each.stage, each.key) for each in removed if each is not artefact}
            for place in others:
                reads = {(entry.kind, entry.key) for entry in world.manifests[place].inputs}
                assert reads & world.manifests.keys() <= others
        left -= {(artefact.stage, artefact.key) for artefact in removed}
    assert left == set()


def test_who_needs_an_artefact_is_said_once_and_by_rank():
    world = World()
    prepare = world.add(("prepare", "1" * 64))
    train = world.add(("train-1-embedding", "2" * 64), (prepare,), age=0)
    other = world.add(("train-1-embedding", "3" * 64), (prepare,))
    verdict = world.find_garbage(planned=frozenset([train]), registered=frozenset([other]))
    assert verdict.kept == {prepare: "registered", other: "registered", train: "planned"}


def test_a_content_that_several_artefacts_name_is_counted_once_and_stays_as_long_as_one_is_kept():
    world = World()
    shared, own = "a" * 64, "b" * 64
    world.add(("prepare", "1" * 64), files=(shared, own))
    world.add(("prepare", "2" * 64), files=(shared,))
    assert world.find_garbage().contents == {shared: 10, own: 10}
    assert [artefact.contents for artefact in world.find_garbage().artefacts] == [{shared: 10, own: 10}, {}]
    assert world.find_garbage(planned=frozenset([("prepare", "2" * 64)])).contents == {own: 10}


def test_a_ledger_may_name_a_training_by_the_content_that_was_registered():
    from tasks.registry.training_facts import evaluated_content

    world = World()
    train = world.add(("train-1-embedding", "1" * 64))
    place = world.add(("evaluate", "2" * 64), (train,))
    content = evaluated_content(world.manifests[place])
    assert world.find_garbage(promoted=frozenset([content])).kept == {train: "promoted", place: "promoted"}


def test_an_artefact_that_cannot_be_read_may_go_if_nothing_needs_it_and_stops_everything_if_something_does():
    world = World()
    lost = world.add(("prepare", "1" * 64), files=("a" * 64,))
    train = world.add(("train-1-embedding", "2" * 64), (lost,))
    world.manifests[lost] = Damaged(*lost, ["manifest.json: its bytes have changed since it was sealed"])
    assert [artefact.manifest is None for artefact in world.find_garbage().artefacts] == [False, True]
    with pytest.raises(WorkFailed, match=r"nothing was removed.*prepare 111111111111.*bytes have changed") as caught:
        world.find_garbage(registered=frozenset([train]))
    assert "registered" in str(caught.value)

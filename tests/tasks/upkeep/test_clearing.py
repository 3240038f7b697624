"""Clearing up stores that are in use: in a folder and in S3, with other processes that publish, stop and die."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tasks.upkeep.gc
from tasks.execution.work_folders import KEPT, work_folder
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tasks.store.blobs import Blobs, Entry, StoreFailed
from tasks.store.manifest import Input, Manifest
from tasks.store.store import Damaged, Store, open_store
from tasks.upkeep.garbage import DAY, Needs
from tasks.upkeep.gc import clear_store, clear_up
from tests.tasks.store_locations import StoreLocation, facts, written

FORK = multiprocessing.get_context("fork")
NOBODY = {name: frozenset() for name in ("promoted", "registered", "planned", "registered_elsewhere", "recorded")}
STAGE = "train-1-embedding"
A, B, C, LOOSE, NEW = (letter * 64 for letter in "abcde")


class Aged:
    """A place in which what was there at one moment is a month old by now, unless somebody has renewed it."""

    def __init__(self, place: StoreLocation, blobs: Blobs) -> None:
        self._blobs = blobs
        self._then = {entry.name: entry.modified for prefix in ("stages/", "cas/") for entry in self.entries(prefix)}
        if place.bucket:
            time.sleep(1.02 - time.time() % 1)  # S3 tells whole seconds

    def entries(self, prefix: str) -> Iterator[Entry]:
        then = getattr(self, "_then", {})
        for entry in self._blobs.entries(prefix):
            old = then.get(entry.name) == entry.modified
            modified = entry.modified - (30 * DAY if old else 0)
            yield Entry(name=entry.name, size=entry.size, modified=modified)

    def __getattr__(self, name: str) -> object:
        return getattr(self._blobs, name)


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> StoreLocation:
    place = StoreLocation(tmp_path, request.getfixturevalue("s3_bucket") if request.param == "s3" else None)
    place.store().probe()
    return place


def publish(store: Store, folder: Path, key: str, reads: tuple[str, ...] = (), **files: str) -> Manifest:
    inputs = tuple(Input(kind=STAGE, key=read, digest="") for read in reads)
    return store.publish(written(folder / key[:6], **files), replace(facts(key), inputs=inputs))


@pytest.fixture
def old(place) -> Aged:
    return month_old(place)


def month_old(place: StoreLocation) -> Aged:
    """Three artefacts of a month ago, each made from the one before; contents `shared` and one that nobody names."""
    blobs = place.blobs()
    store, folder = Store(blobs), place.folder
    publish(store, folder, A, one="1", shared="S" * 50)
    publish(store, folder, B, (A,), two="2")
    publish(store, folder, C, (B,), three="3", shared="S" * 50)
    publish(store, folder, LOOSE, loose="never published")
    store.delete_manifests([(STAGE, LOOSE)])
    return Aged(place, blobs)


def clear(blobs: Blobs | Aged, *planned: str, dry_run: bool = False) -> tuple[set[str], int]:
    """Keys of the artefacts that went, and how many contents."""
    needs = Needs(**{**NOBODY, "planned": frozenset((STAGE, key) for key in planned)}, keep_seconds=7 * DAY)
    _, verdict = clear_store(Store(blobs), needs, dry_run=dry_run)
    return {artefact.key for artefact in verdict.artefacts}, len(verdict.contents)


def whole(place: StoreLocation) -> set[str]:
    """Keys of all artefacts; each has all its contents and everything that it was made from."""
    store = place.store()
    manifests = store.read_all(store.inventory().manifests)
    for stage, key in manifests:
        found = store.find(stage, key, rehash=True)
        assert all((read.kind, read.key) in manifests for read in found.inputs if read.kind == STAGE)
    return {key for _, key in manifests}


def elsewhere(work: Callable[[], object]) -> multiprocessing.Process:
    def works() -> None:
        work()
        os._exit(0)  # past Prefect's hooks at exit, which fail in a forked process

    process = FORK.Process(target=works, daemon=True)
    process.start()
    return process


def test_what_is_not_needed_goes_with_its_contents_and_shared_ones_stay(place, old):
    store = place.store()
    before = store.inventory()
    assert clear(old, B, dry_run=True) == ({C}, 2)
    assert store.inventory() == before
    assert clear(old, B) == ({C}, 2)  # "3" and the one that was never published
    assert whole(place) == {A, B}
    assert len(store.inventory().contents) == 3
    assert clear(old, B) == (set(), 0)
    assert clear(old) == ({A, B}, 3)
    assert store.inventory() == type(before)(manifests={}, contents={})


def test_what_is_young_stays(place):
    store = place.store()
    publish(store, place.folder, A, one="1")
    young = publish(store, place.folder, B, two="2")
    store.delete_manifests([(STAGE, B)])
    assert clear(store._blobs) == (set(), 0)
    assert young.files["two"].sha256 in store.inventory().contents


def test_what_a_run_uses_counts_as_new_with_all_it_was_made_from(place, old):
    assert Store(old).use(STAGE, B).key == B
    assert clear(old) == ({C}, 2)
    assert whole(place) == {A, B}
    with pytest.raises(Damaged, match="missing"):
        Store(old).use(STAGE, C)


def test_contents_of_a_publication_that_has_not_got_to_its_manifest_stay(place, old):
    """Another process has brought in what an unneeded artefact holds, too, and stops there until all is cleared up."""
    stopped, go = FORK.Event(), FORK.Event()

    def publishes() -> None:
        store = Store(old)
        announce = store._announce

        def waits(manifest: Manifest, thorough: bool) -> Manifest:
            stopped.set()
            go.wait()
            return announce(manifest, thorough)

        store._announce = waits  # type: ignore[method-assign]
        store.publish(written(place.folder / "new", mine="N", shared="S" * 50), facts(NEW))

    process = elsewhere(publishes)
    assert stopped.wait(30)
    assert clear(old) == ({A, B, C}, 4)
    assert place.store().inventory().manifests == {}
    go.set()
    process.join(30)
    assert process.exitcode == 0
    assert sorted(place.store().find(STAGE, NEW, rehash=True).files) == ["mine", "shared"]


class Paused:
    """A process that clears everything up, and pauses between its look at what there is and its first removal."""

    def __init__(self, blobs: Aged) -> None:
        self._looked, self._go = FORK.Event(), FORK.Event()
        self._process = elsewhere(lambda: self._clear(blobs))
        assert self._looked.wait(30)

    def _clear(self, blobs: Aged) -> None:
        remove = tasks.upkeep.gc._remove

        def waits(*args: object) -> None:
            self._looked.set()
            self._go.wait()
            remove(*args)

        tasks.upkeep.gc._remove = waits
        clear(blobs)

    def go_on(self) -> None:
        self._go.set()
        self._process.join(30)
        assert self._process.exitcode == 0


def test_who_publishes_during_a_sweep_waits_for_its_end(place, old):
    paused = Paused(old)
    folder = written(place.folder / "new", shared="S" * 50)
    publisher = threading.Thread(target=lambda: Store(old).publish(folder, facts(NEW)), daemon=True)
    publisher.start()
    time.sleep(0.5)  # enough to be done with it, did it not wait
    paused.go_on()
    publisher.join(30)
    assert whole(place) == {NEW}


def test_who_was_publishing_when_a_sweep_looked_does_it_again(place, old):
    """The sweep takes the content for unneeded; then it is renewed; then the sweep removes it."""
    store = Store(old)
    put, sweeps = store._blobs.put, []

    def meets_a_sweep(contents: object, *, rehash: bool) -> None:
        if not sweeps:
            sweeps.append(Paused(old))
            put(contents, rehash=rehash)
            sweeps[0].go_on()
        else:
            put(contents, rehash=rehash)

    old.put = meets_a_sweep  # type: ignore[attr-defined]
    store.publish(written(place.folder / "new", shared="S" * 50), facts(NEW))
    assert whole(place) == {NEW}


def test_who_begins_to_use_what_a_sweep_is_about_to_remove_learns_that_it_is_gone(place, old):
    paused, learnt = Paused(old), []

    def uses() -> None:
        try:
            learnt.append(Store(old).use(STAGE, A))
        except Damaged as damage:
            learnt.append(damage)

    user = threading.Thread(target=uses, daemon=True)
    user.start()
    time.sleep(0.5)
    paused.go_on()
    user.join(30)
    assert [type(found) for found in learnt] == [Damaged]


def killed_while_clearing(place: StoreLocation, old: Aged, removals: int) -> None:
    def dies() -> None:
        done, delete_all = [], old.delete_all

        def counts(names: object) -> None:
            if len(done) == removals:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(names)
            delete_all(names)

        old.delete_all = counts  # type: ignore[attr-defined]
        tasks.upkeep.gc._AT_ONCE = 1
        clear(old)

    process = elsewhere(dies)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    store = place.store()
    assert whole(place) == set([A, B, C][: max(0, 3 - removals)])
    new = publish(store, place.folder, NEW, mine="N", shared="S" * 50)
    assert NEW in whole(place)
    clear(old)
    assert whole(place) == {NEW}
    assert store.inventory().contents.keys() == {record.sha256 for record in new.files.values()}


@pytest.mark.parametrize("removals", range(7))
def test_killed_at_any_moment_it_leaves_whole_artefacts_and_stops_nobody(tmp_path, removals):
    place = StoreLocation(tmp_path)
    killed_while_clearing(place, month_old(place), removals)


def test_killed_in_s3_it_leaves_whole_artefacts_and_stops_nobody(tmp_path, s3_bucket):
    place = StoreLocation(tmp_path, s3_bucket)
    killed_while_clearing(place, month_old(place), removals=2)


def test_a_sweep_that_is_not_sure_to_be_alone_any_more_removes_nothing_further(place, old):
    class Lost:
        def lost(self) -> bool:
            return True

    store = Store(old)
    inventory = store.inventory()
    needs = Needs(**NOBODY, keep_seconds=7 * DAY)
    verdict = tasks.upkeep.gc.find_garbage(inventory, store.read_all(inventory.manifests), needs, store.now())
    assert len(verdict.artefacts) == 3
    with pytest.raises(StoreFailed, match="run the same command again"):
        tasks.upkeep.gc._remove(store, verdict, Lost())
    assert store.inventory() == inventory


def test_of_two_sweeps_the_second_waits(place, old):
    paused, waited = Paused(old), []
    needs = Needs(**NOBODY, keep_seconds=7 * DAY)
    _, verdict = clear_store(Store(old), needs, on_wait=lambda: waited.append(paused.go_on()))
    assert len(waited) == 1 and verdict.artefacts == ()


def test_work_and_cached_contents_that_nothing_asks_for_go_too(project, s3_bucket, monkeypatch):
    settings = Settings(root=project.root, store=f"s3://{s3_bucket}/store")
    store, cache = open_store(settings), settings.home / "cache"
    (job,) = plan_jobs(settings, ["turtle"])
    wanted, unwanted = work_folder(settings, job.stages[1]), settings.home / "work" / "train-1-embedding-0123"
    for folder in (wanted, unwanted):
        (folder / KEPT).mkdir(parents=True)
        (folder / KEPT / "checkpoint").write_text("C" * 1000)
        os.utime(folder / KEPT / "checkpoint", (1, 1))
        os.utime(folder / KEPT, (1, 1))
        os.utime(folder, (1, 1))
    planned = replace(facts(job.stages[0].key), stage="prepare")
    store.publish(written(project.root / "one", one="1"), planned)
    publish(store, project.root, A, two="22", three="333")
    for path in cache.glob("??/*"):
        os.utime(path, (1, 1))
    now = Store.now
    monkeypatch.setattr(Store, "now", lambda self: now(self) + 30 * DAY)

    def clear_all(*, dry_run: bool) -> tuple[int, ...]:
        found = clear_up(settings, dry_run=dry_run, on_wait=pytest.fail)
        return len(found.verdict.artefacts), found.work.files, found.work.size, found.cache.files, found.cache.size

    assert clear_all(dry_run=True) == (1, 1, 1000, 2, 5)
    assert unwanted.exists() and len(list(cache.glob("??/*"))) == 3 and store.read("train-1-embedding", A)
    assert clear_all(dry_run=False) == (1, 1, 1000, 2, 5)
    assert wanted.exists() and not unwanted.exists()
    assert [path.read_text() for path in cache.glob("??/*")] == ["1"]
    assert clear_all(dry_run=False) == (0, 0, 0, 0, 0)

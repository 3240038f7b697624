import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.folder_blobs import FolderBlobs
from tasks.hashing import file_digest
from tasks.manifest import Facts, Input, Manifest
from tasks.store import Damaged, Store, StoreFailed

KEY = "a" * 64


def facts(key: str = KEY) -> Facts:
    return Facts(
        stage="train-1-embedding",
        key=key,
        inputs=(Input(kind="prepare", key="b" * 64, digest="c" * 64),),
        parameters={"learning_rate": 2e-6},
        code={"model.train": "0123"},
        packages={"torch": "2.13.0"},
        seed=0,
        numeric_policy={"device": "cpu"},
        device="cpu",
        wall_seconds=1.5,
    )


def written(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(FolderBlobs(tmp_path / "store"))
    store.probe()
    return store


@pytest.fixture
def published(store, tmp_path) -> Manifest:
    return store.publish(written(tmp_path / "work", weights="W" * 100, pictures__one="1"), facts())


def leftovers(store: Store) -> list[Path]:
    return list((Path(store.address) / "spool").iterdir())


def test_what_is_published_reads_back(store, published, tmp_path):
    assert store.find(published.stage, KEY, rehash=True) == published
    assert Manifest.from_json(published.to_json()) == published
    assert sorted(published.files) == ["pictures/one", "weights"]
    assert store.file(published, "weights").read_text() == "W" * 100
    store.materialise(published, tmp_path / "out")
    assert (tmp_path / "out" / "pictures" / "one").read_text() == "1"
    assert leftovers(store) == []


def test_contents_are_stored_once_under_their_hash_and_read_only(store, published, tmp_path):
    store.publish(written(tmp_path / "more", same="W" * 100), facts("d" * 64))
    contents = [path for path in (Path(store.address) / "cas").rglob("*") if path.is_file()]
    assert len(contents) == 2
    assert all(path.name == file_digest(path) and path.stat().st_mode & 0o222 == 0 for path in contents)


def test_editing_a_copy_does_not_reach_the_store(store, published, tmp_path):
    store.materialise(published, tmp_path / "out")
    (tmp_path / "out" / "weights").write_text("mine")
    assert store.find(published.stage, KEY, rehash=True) == published


def test_what_was_never_there_is_not_there(store):
    assert store.find("prepare", KEY) is None


@pytest.mark.parametrize(
    ("harm", "rehash", "word"),
    [
        (lambda path: path.unlink(), False, "missing"),
        (lambda path: path.write_text("W" * 99), False, "99 bytes instead of 100"),
        (lambda path: path.write_text("X" + "W" * 99), True, "bytes have changed"),
    ],
)
def test_damage_is_named_and_publishing_again_heals_it(store, published, tmp_path, harm, rehash, word):
    path = Path(store.content_address(published.files["weights"].sha256))
    path.chmod(0o644)
    harm(path)
    with pytest.raises(Damaged, match=word) as caught:
        store.find(published.stage, KEY, rehash=rehash)
    assert "weights" in str(caught.value) and KEY[:12] in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(Damaged, match=word):
        store.file(published, "weights")
    again = store.publish(written(tmp_path / "again", weights="W" * 100, pictures__one="1"), facts())
    assert again == published
    assert store.find(published.stage, KEY, rehash=True) == published


def test_a_damaged_artefact_gives_way_to_one_with_other_contents(store, published, tmp_path):
    Path(store.content_address(published.files["weights"].sha256)).unlink()
    again = store.publish(written(tmp_path / "again", weights="another machine's"), facts())
    assert store.find(published.stage, KEY) == again != published


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_manifest_that_is_none_is_damage(store, published, text):
    path = Path(store.manifest_address(published.stage, KEY))
    path.chmod(0o644)
    path.write_text(text)
    with pytest.raises(Damaged, match=r"manifest\.json"):
        store.find(published.stage, KEY)


def test_a_manifest_in_the_wrong_place_is_damage(store, published):
    path = Path(store.manifest_address("prepare", "e" * 64))
    path.parent.mkdir(parents=True)
    shutil.copyfile(Path(store.manifest_address(published.stage, KEY)), path)
    with pytest.raises(Damaged, match="train-1-embedding"):
        store.find("prepare", "e" * 64)


def test_an_outage_is_not_an_absence(store, published):
    stages = Path(store.address) / "stages"
    shutil.rmtree(stages)
    stages.write_text("not a folder")  # what a broken mount may look like
    with pytest.raises(StoreFailed, match="cannot be read"):
        store.find(published.stage, KEY)
    contents = Path(store.address) / "cas"
    shutil.rmtree(contents)
    contents.write_text("")
    with pytest.raises(StoreFailed, match="cannot be read"):
        store.damage(published)


def _race(root: Path, number: int, barrier, results) -> None:
    work = written(root / f"work-{number}", weights=f"by process {number}")
    barrier.wait()
    manifest = Store(FolderBlobs(root / "store")).publish(work, facts())
    results.put(manifest.files["weights"].sha256)


def test_of_racing_processes_one_wins_and_the_others_adopt_its_artefact(store, tmp_path):
    processes, spawn = 6, multiprocessing.get_context("fork")
    barrier, results = spawn.Barrier(processes), spawn.Queue()
    racers = [spawn.Process(target=_race, args=(tmp_path, n, barrier, results)) for n in range(processes)]
    for racer in racers:
        racer.start()
    adopted = {results.get(timeout=60) for _ in racers}
    for racer in racers:
        racer.join()
    winner = store.get("train-1-embedding", KEY).files["weights"].sha256
    assert adopted == {winner}
    assert leftovers(store) == []


def test_the_spool_of_killed_processes_is_swept_and_that_of_living_ones_is_not(store):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    host = os.uname().nodename
    (Path(store.address) / "spool" / f"{host}-{killed.pid}-aa").write_text("half")
    alive = Path(store.address) / "spool" / f"{host}-{os.getpid()}-bb"
    alive.write_text("half")
    store.probe()
    assert leftovers(store) == [alive]


def test_a_store_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(InputError, match="CONCEPTBOOTH_STORE") as caught:
        Store(FolderBlobs(tmp_path / "store")).probe()
    assert str(tmp_path / "store") in str(caught.value)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_clear_error_and_leaves_no_artefact(small_disk, tmp_path):
    store = Store(FolderBlobs(small_disk / "store"))
    store.probe()
    work = written(tmp_path / "big", small="s", weights="W" * 2_000_000)
    with pytest.raises(StoreFailed, match="No space left") as caught:
        store.publish(work, facts())
    assert store.address in str(caught.value) and not caught.value.retryable
    assert store.find("train-1-embedding", KEY) is None
    assert leftovers(store) == []
    small = store.publish(written(tmp_path / "small", weights="W"), facts())
    assert store.find("train-1-embedding", KEY, rehash=True) == small


def test_a_disk_that_became_read_only_is_refused_before_any_work(small_disk):
    store = Store(FolderBlobs(small_disk / "store"))
    store.probe()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(InputError, match="Read-only"):
        store.probe()

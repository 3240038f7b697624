"""What is particular to a store in a folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.folder_blobs import FolderBlobs
from tasks.hashing import file_digest
from tasks.manifest import Manifest
from tasks.store import Store, StoreFailed
from tests.tasks.places import KEY, facts, written


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


def test_contents_lie_under_their_hash_and_are_read_only(store, published, tmp_path):
    store.publish(written(tmp_path / "more", same="W" * 100), facts("d" * 64))
    contents = [path for path in (Path(store.address) / "cas").rglob("*") if path.is_file()]
    assert len(contents) == 2
    assert all(path.name == file_digest(path) and path.stat().st_mode & 0o222 == 0 for path in contents)
    assert leftovers(store) == []


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

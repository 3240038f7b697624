"""What is particular to a store in a folder."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.files.hashing import file_digest
from tasks.files.spool import spooled
from tasks.store.blobs import StoreFailed
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Manifest
from tasks.store.store import Store
from tests.tasks.store_locations import KEY, facts, written

ROOT = Path(__file__).resolve().parents[3]


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


LEAVES = """
import os, sys
from pathlib import Path
import tasks.files.process
from tasks.files.spool import spooled
room = tasks.files.process._machine() + sys.argv[2]
tasks.files.process._machine = lambda: room
with spooled(Path(sys.argv[1])) as path:
    path.write_text("half")
    print(path.name, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_spool_of_killed_processes_is_swept_and_that_of_living_and_of_other_machines_is_not(store):
    folder = Path(store.address) / "spool"

    def left_by_a_killed_process(room: str = "") -> Path:
        done = subprocess.run([sys.executable, "-c", LEAVES, folder, room], cwd=ROOT, capture_output=True, text=True)
        return folder / done.stdout.strip()

    # Of one host name, but another container: that its process id means nobody here says nothing.
    elsewhere, long_ago = left_by_a_killed_process("another"), left_by_a_killed_process("another")
    os.utime(long_ago, (time.time() - 2 * 86400,) * 2)
    here = left_by_a_killed_process()
    assert here.read_text() == "half"
    with spooled(folder) as alive:
        alive.write_text("half")
        os.utime(alive, (1, 1))
        store.probe()
        assert sorted(leftovers(store)) == sorted([alive, elsewhere])


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

"""What the store does about bytes that changed behind its back, and about folders it cannot write to."""

import subprocess
from pathlib import Path

import pytest

import tasks.files.hashing
from model.errors import InputError, WorkFailed
from tasks.files.hashing import DigestMemory, file_digest
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Facts, Manifest
from tasks.store.store import Damaged, Store

STAGE, KEY = "train-1-embedding", "a" * 64


def publish(store: Store, work: Path, **contents: str) -> Manifest:
    work.mkdir()
    for name, text in contents.items():
        (work / name).write_text(text)
    facts = Facts(
        stage=STAGE,
        key=KEY,
        inputs=(),
        parameters={},
        code={},
        packages={},
        seed=0,
        numeric_policy={},
        device="cpu",
        wall_seconds=1.0,
    )
    return store.publish(work, facts)


def flip(path: Path, position: int) -> None:
    """One bit of one byte: the size stays, and the byte is no longer ASCII."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0x80
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(FolderBlobs(tmp_path / "store"))
    store.probe()
    return store


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_stage_made_again_after_a_flipped_byte_takes_the_place_of_the_damaged_one(store, tmp_path):
    old = publish(store, tmp_path / "one", weights="W" * 100, curves="12.5 samples/s")
    flip(Path(store.content_address(old.files["weights"].sha256)), 50)
    with pytest.raises(Damaged, match="bytes have changed"):
        store.find(STAGE, KEY, rehash=True)
    new = publish(store, tmp_path / "two", weights="V" * 100, curves="12.6 samples/s")
    assert new != old
    assert store.find(STAGE, KEY, rehash=True) == new


@pytest.mark.parametrize("position", [0, 20, -3])
def test_a_flipped_byte_of_a_manifest_is_damage_and_the_stage_can_be_made_again(store, tmp_path, position):
    publish(store, tmp_path / "one", weights="W")
    flip(Path(store.manifest_address(STAGE, KEY)), position)
    with pytest.raises(Damaged, match=r"manifest\.json"):
        store.find(STAGE, KEY)
    again = publish(store, tmp_path / "two", weights="W")
    assert store.find(STAGE, KEY, rehash=True) == again


def test_a_copy_that_finds_no_room_is_one_clear_error_and_leaves_nothing_half(store, tmp_path, small_disk):
    manifest = publish(store, tmp_path / "one", a_small="s", big="B" * 2_000_000)
    with pytest.raises(WorkFailed, match="No space left") as caught:
        store.materialise(manifest, small_disk / "gallery")
    assert str(small_disk / "gallery" / "big") in str(caught.value)
    assert [path.name for path in (small_disk / "gallery").iterdir()] == ["a_small"]


def test_a_home_that_cannot_be_written_is_bad_input(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("")  # a file where the folder should be
    weights = tmp_path / "weights"
    weights.write_text("W")
    memory = DigestMemory(tmp_path / "home" / "digests.json")
    monkeypatch.setattr(tasks.files.hashing, "_SETTLED_SECONDS", -60)
    assert memory.digest(weights) == file_digest(weights)
    with pytest.raises(InputError, match="CONCEPTBOOTH_HOME") as caught:
        memory.save()
    assert str(tmp_path / "home") in str(caught.value)


def test_a_full_home_keeps_no_half_written_memory(tmp_path, small_disk, monkeypatch):
    monkeypatch.setattr(tasks.files.hashing, "_SETTLED_SECONDS", -60)
    memory = DigestMemory(small_disk / "digests.json")
    for number in range(10):
        file = tmp_path / f"weights-{number}"
        file.write_text(str(number))
        memory.digest(file)
    with pytest.raises(OSError, match="No space left"), (small_disk / "full").open("wb") as full:
        full.write(bytes(2_000_000))
    with pytest.raises(InputError, match="No space left"):
        memory.save()
    assert [path.name for path in small_disk.iterdir()] == ["full"]

import math
import os

import pytest

import tasks.files.hashing
from tasks.dvc.folder_hash import folder_files
from tasks.files.hashing import DigestMemory, canonical_json, digest_of, file_digest


def test_equal_values_have_one_text():
    assert canonical_json({"b": 1, "a": [2e-6, None]}) == canonical_json({"a": [0.000002, None], "b": 1})
    assert digest_of({"rate": 2e-6}) != digest_of({"rate": 2.0000001e-6})


def test_what_is_not_json_has_none():
    for value in (math.nan, math.inf, {1, 2}, object()):
        with pytest.raises((ValueError, TypeError)):
            canonical_json({"value": value})


def test_a_file_is_read_again_only_after_it_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.files.hashing, "_SETTLED_SECONDS", -60)
    memory_file, file = tmp_path / "memory" / "digests.json", tmp_path / "weights"
    file.write_text("one")
    memory = DigestMemory(memory_file)
    assert memory.digest(file) == file_digest(file)
    memory.save()
    memory_file.write_text(memory_file.read_text().replace(file_digest(file), "what is remembered"))
    assert DigestMemory(memory_file).digest(file) == "what is remembered"
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, and its time set back
    assert DigestMemory(memory_file).digest(file) == file_digest(file)


def test_images_are_remembered_by_the_hash_that_dvc_uses(tmp_path):
    (tmp_path / "00.png").write_bytes(b"picture")
    memory = DigestMemory(tmp_path / "digests.json", "md5")
    assert folder_files(tmp_path, memory.digest) == folder_files(tmp_path)


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path):
    file = tmp_path / "weights"
    file.write_text("one")
    memory = DigestMemory(tmp_path / "digests.json")
    memory.digest(file)
    stat = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert memory.digest(file) == file_digest(file)


def test_a_broken_memory_is_forgotten(tmp_path):
    (tmp_path / "digests.json").write_text("{broken")
    (tmp_path / "weights").write_text("one")
    assert DigestMemory(tmp_path / "digests.json").digest(tmp_path / "weights") == file_digest(tmp_path / "weights")


def test_a_folder_is_its_files_of_interest_without_hidden_ones(tmp_path):
    for name in ("unet/weights.safetensors", "config.json", "README.md", ".cache/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = DigestMemory(tmp_path / "digests.json").folder(tmp_path, [".json", ".safetensors"])
    assert list(found) == ["config.json", "unet/weights.safetensors"]

"""Pretrained models in the store: once, by digest, whole or not at all, in a folder and in a bucket."""

import shutil

import pytest

from model.errors import InputError
from tasks.files.hashing import digest_of, file_digest
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.models import copy_model, keep_model, kept_model, model_folder
from tasks.store.store import Damaged, content_name
from tests.tasks.store_locations import StoreLocation

FILES = {"model_index.json": b"{}", "unet/weights.safetensors": b"weights", "vae/weights.safetensors": b"others"}


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> StoreLocation:
    return StoreLocation(tmp_path, request.getfixturevalue("s3_bucket") if request.param == "s3" else None)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    for name, content in (FILES | {"notes.md": b"none of it"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def files(folder) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in FILES}


def test_a_model_is_kept_once_and_comes_back_as_it_was(place, folder, files):
    store, said = place.store(), []
    assert kept_model(store, "base", digest_of(files)) is None
    for _ in range(2):
        keep_model(store, "base", folder, files, reference="toyworld/base", tell=said.append)
    assert len(said) == 1 and "toyworld/base" in said[0]
    assert store.artefacts() == {("base", digest_of(files))}
    (folder / "unet" / "weights.safetensors").write_bytes(b"another base")
    manifest = kept_model(place.store(), "base", digest_of(files))
    with model_folder(place.store(), manifest) as found:
        there = {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*") if path.is_file()}
    assert there == FILES and not found.exists()


def test_a_folder_that_has_changed_since_is_not_kept_under_the_old_digest(place, folder, files):
    (folder / "vae" / "weights.safetensors").write_bytes(b"changed")
    with pytest.raises(InputError, match=r"1 files have changed since it was looked at \(vae/weights"):
        keep_model(place.store(), "base", folder, files, reference="base")
    assert place.store().artefacts() == set()


def test_what_was_damaged_is_not_loaded_and_is_kept_again(place, folder, files, tmp_path):
    store = place.store()
    keep_model(store, "base", folder, files, reference="base")
    manifest = kept_model(store, "base", digest_of(files))
    place.harm(store.content_address(files["unet/weights.safetensors"]), b"w3ights")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # a copy on this machine would still be whole
    with pytest.raises(Damaged, match=r"unet/weights\.safetensors"), model_folder(store, manifest):
        pass
    keep_model(store, "base", folder, files, reference="base", thorough=True)
    with model_folder(store, manifest) as found:
        assert (found / "unet" / "weights.safetensors").read_bytes() == b"weights"


def test_another_store_gets_what_it_lacks(place, folder, files, tmp_path):
    keep_model(place.store(), "base", folder, files, reference="base")
    manifest, other = kept_model(place.store(), "base", digest_of(files)), FolderBlobs(tmp_path / "other")
    other.probe()
    assert [copy_model(place.store(), manifest, other) for _ in range(2)] == [3, 0]
    assert other.problems({content_name(r.sha256): r for r in manifest.files.values()}, rehash=True) == {}

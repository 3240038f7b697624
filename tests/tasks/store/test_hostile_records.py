"""Manifests and folders of a store that somebody else wrote: no name in them reaches a file outside."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.files.names import ImproperName
from tasks.store.content_cache import ContentCache
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import FileRecord, Manifest
from tasks.store.store import Damaged, Store
from tests.tasks.store_locations import KEY, facts, written

STAGE = facts().stage
HOSTILE_NAMES = ["../../victim", "/victim", "a/../../victim", "..", ".", "a//b", "a\0b", "a\nb", ""]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(FolderBlobs(tmp_path / "store"))


def manifest_with(store: Store, tmp_path: Path, change) -> Manifest:
    """A manifest that was published, and rewritten with its seal."""
    manifest = store.publish(written(tmp_path / "work", page="whole"), facts())
    forged = dataclasses.replace(manifest, **change(manifest))
    path = Path(store.manifest_address(STAGE, KEY))
    path.chmod(0o644)
    path.write_text(forged.to_json())
    return forged


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_file_s_name_that_leads_out_is_no_manifest(store, tmp_path, name):
    (tmp_path / "victim").write_text("mine")
    forged = manifest_with(store, tmp_path, lambda manifest: {"files": {name: manifest.files["page"]}})
    with pytest.raises(Damaged, match="the name"):
        store.read(STAGE, KEY)
    with pytest.raises(ImproperName):  # whoever comes by such a manifest otherwise
        store.materialise(forged, tmp_path / "gallery" / "here")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize(
    ("sha256", "size"),
    [("../../victim", 4), ("/victim", 4), ("A" * 64, 4), ("a" * 64, -1), ("a" * 64, "4"), ("a" * 64, True)],
)
def test_a_hash_calls_a_content_and_no_path(store, tmp_path, sha256, size):
    manifest_with(store, tmp_path, lambda _: {"files": {"page": FileRecord(sha256=sha256, size=size)}})
    with pytest.raises(Damaged):
        store.read(STAGE, KEY)


def test_a_cache_removes_nothing_outside(tmp_path):
    """It removes a content whose hash is another than its name's: a name that is a path would remove that file."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    cache = ContentCache(tmp_path / "cache", 2**20)
    for name in (str(victim), "../../victim", "x/../../../victim"):
        with pytest.raises(ImproperName):
            cache.get(name)
    assert victim.read_text() == "mine"


def test_a_gallery_is_put_into_its_folder_and_through_no_link(store, tmp_path):
    """What `train` does on a cache hit: a link in the gallery's folder would lead it to any file of the user."""
    manifest = store.publish(written(tmp_path / "work", inner__page="whole", index="whole"), facts())
    outside, gallery = tmp_path / "outside", tmp_path / "gallery"
    outside.mkdir()
    gallery.mkdir()
    (outside / "page").write_text("mine")
    (gallery / "inner").symlink_to(outside)
    with pytest.raises(ImproperName, match="leads out of"):
        store.materialise(manifest, gallery)
    assert [path.name for path in gallery.iterdir()] == ["inner"]
    (gallery / "inner").unlink()
    (gallery / "index").symlink_to(outside / "page")
    store.materialise(manifest, gallery)
    assert (gallery / "index").read_text() == "whole" and not (gallery / "index").is_symlink()
    assert (outside / "page").read_text() == "mine"


@pytest.mark.parametrize("folder", ["spool", "locks", "cas", "stages"])
def test_a_store_whose_folders_lead_elsewhere_writes_and_sweeps_nothing_there(tmp_path, folder):
    """The folders for unfinished files and locks are swept: as links they would have a home folder swept."""
    outside = tmp_path / "home"
    old = written(outside, letter="mine") / "letter"
    os.utime(old, (time.time() - 10**6,) * 2)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / folder).symlink_to(outside)
    store = Store(FolderBlobs(tmp_path / "store"))
    with pytest.raises(InputError, match="leads out of"):
        store.probe()
        store.publish(written(tmp_path / "work", page="whole"), facts())
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"letter": "mine"}


@pytest.mark.parametrize("name", ["stages/../../x", "/etc/passwd", "a//b", "records/a\0b"], ids=ascii)
def test_no_name_leads_out_of_the_store(store, tmp_path, name):
    blobs = FolderBlobs(tmp_path / "store")
    for ask in (
        blobs.read,
        blobs.delete,
        blobs.renew,
        lambda n: blobs.create(n, b""),
        lambda n: blobs.write(n, b""),
        lambda n: blobs.replace(n, b"", "v"),
        lambda n: blobs.problems({n: FileRecord(sha256="a" * 64, size=1)}, rehash=True),
        lambda n: blobs.fetch({n: FileRecord(sha256="a" * 64, size=1)}),
        lambda n: blobs.put({n: (tmp_path, FileRecord(sha256="a" * 64, size=1))}, rehash=False),
        lambda n: list(blobs.entries(f"{n}/")),
        lambda n: blobs.alone(f"x/../../{n}", lambda: None).__enter__(),
    ):
        with pytest.raises(ImproperName):
            ask(name)


def test_listings_follow_no_link_and_end(tmp_path):
    blobs = FolderBlobs(tmp_path / "store")
    blobs.create("stages/a/b/manifest.json", b"{}")
    (tmp_path / "store" / "stages" / "loop").symlink_to("..")
    (tmp_path / "store" / "stages" / "dangling").symlink_to("nowhere")
    names = [entry.name for entry in blobs.entries("stages/")]
    assert names == ["stages/a/b/manifest.json"]


def test_a_manifest_nested_without_end_is_none():
    for text in ("[" * 100_000, json.dumps({"schema": 1, "files": []}), json.dumps({"schema": 1, "files": {"a": 3}})):
        with pytest.raises(ValueError):
            Manifest.from_json(text)

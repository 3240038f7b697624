"""Names in what others wrote about images: DVC's listings, images.yaml, takedowns, imported repositories."""

import hashlib
import json
import shutil

import pytest

from model.errors import InputError
from tasks.concepts.concepts import load_concept
from tasks.concepts.dreambooth_data_set import read_subjects
from tasks.concepts.image_copies import gather
from tasks.concepts.image_origins import image_origins
from tasks.concepts.image_sets import image_set, local_images
from tasks.concepts.takedown_records import SetMember, Takedown
from tasks.dvc.folder_hash import FolderFile
from tasks.dvc.samples import sample_is_current
from tasks.dvc.storage import DvcStorage, FolderRemote, dvc_storage
from tasks.files.names import ImproperName
from tasks.project.settings import Settings
from tasks.takedown.takedown import leave_out
from tests.data_project import make_project, photos
from tests.tasks.concepts.test_image_sets import CONCEPT

HOSTILE_NAMES = ["../../../victim", "/victim", "a/../../../../victim", "a//b", "a\x1b[2J", "a\0b", "", "."]


@pytest.fixture
def settings(tmp_path) -> Settings:
    """A project whose concept has no images here: DVC's record of them counts."""
    settings = make_project(tmp_path / "project")
    folder = settings.concepts_dir / "pot"
    folder.mkdir(parents=True)
    (folder / "concept.yaml").write_text(CONCEPT)
    return settings


def record(settings: Settings, listing: bytes) -> None:
    """Have DVC's record and cache say that the images are those of this listing."""
    version = f"{hashlib.md5(listing).hexdigest()}.dir"
    (settings.concepts_dir / "pot" / "images.dvc").write_text(f"outs:\n- md5: {version}\n  path: images\n")
    cached = dvc_storage(settings).cached(version)
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(listing)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_listing_whose_names_lead_out_is_none_that_dvc_wrote(settings, tmp_path, name):
    content = b"planted"
    md5 = hashlib.md5(content).hexdigest()
    cached = dvc_storage(settings).cached(md5)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    record(settings, json.dumps([{"md5": md5, "relpath": name}]).encode())
    concept = load_concept(settings, "pot")
    with pytest.raises(InputError, match=r"listing of data version .* is none that DVC wrote: the name"):
        image_set(settings, concept)
    files = [FolderFile(relpath=name, md5=md5, size=len(content))]
    with pytest.raises(ImproperName):  # whoever comes by such a name otherwise
        gather(settings, dvc_storage(settings), "it", concept.images, f"{'0' * 32}.dir", files)
    assert not list(tmp_path.rglob("victim*"))


@pytest.mark.parametrize(
    "listing",
    [b"[" * 100_000, b"{}", b"[7]", b'[{"md5": "x"}]', b'[{"md5": "../../x", "relpath": "a"}]', b"\xff"],
    ids=range(6),
)
def test_a_listing_that_is_none_is_told_in_words(settings, listing):
    record(settings, listing)
    if listing == b"{}":  # an empty set
        listing = b'{"a": 1}'
        record(settings, listing)
    with pytest.raises(InputError, match="is none that DVC wrote"):
        image_set(settings, load_concept(settings, "pot"))


@pytest.mark.parametrize("md5", ["../../victim", "/victim", "A" * 32, "a" * 31, ""])
def test_a_hash_of_dvc_calls_a_content_and_no_path(tmp_path, md5):
    storage = DvcStorage(cache=tmp_path / "cache", remote=FolderRemote(folder=tmp_path))
    copy = storage.remote.copy
    for ask in (storage.cached, storage.size, lambda md5: storage.fetch([md5]), lambda md5: copy(md5, tmp_path)):
        with pytest.raises(ImproperName):
            ask(md5)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_images_yaml_names_images_and_nothing_else(settings, name):
    concept = load_concept(settings, "pot")
    facts = {"file": name, "sha256": "a" * 64, "original": "IMG_1.jpg", "original_sha256": "b" * 64}
    (concept.folder / "images.yaml").write_text(json.dumps({"images": [facts]}))
    with pytest.raises(InputError, match="the name"):
        image_origins(concept)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_takedown_removes_nothing_outside_the_set(settings, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    concept = load_concept(settings, "pot")
    photos(concept.images)
    with pytest.raises(ImproperName):
        leave_out(settings, concept, ["photo-1.png", name])
    assert victim.exists() and (concept.images / "photo-1.png").exists()  # nothing at all was removed
    for change in ({"concept": name}, {"file": name}):
        member = SetMember(**{"concept": "pot", "file": "00.png"} | change)
        with pytest.raises(ValueError, match="the name"):
            Takedown.from_json(takedown(sets=(member,)).to_json())
    with pytest.raises(ValueError, match="the name"):
        Takedown.from_json(takedown(revoked={name: ()}).to_json())


def takedown(**facts: object) -> Takedown:
    whole = {"number": 1, "sha256": "a" * 64, "images": {}, "sets": (), "revoked": {}, "found": {}}
    return Takedown(**{**whole, "reason": "r", "by": "b", "at": "2026", **facts})


def test_a_takedown_follows_no_folder_that_is_a_link_and_removes_a_link_alone(settings, tmp_path):
    outside = tmp_path / "outside"
    photos(outside)
    concept = load_concept(settings, "pot")
    photos(concept.images)
    (concept.images / "album").symlink_to(outside)
    (concept.images / "linked.png").symlink_to(outside / "photo-0.png")
    with pytest.raises(ImproperName, match="leads out of"):
        leave_out(settings, concept, ["album/photo-0.png"])
    leave_out(settings, concept, ["linked.png"])
    assert not (concept.images / "linked.png").is_symlink()
    assert (outside / "photo-0.png").exists()


def test_the_copies_of_a_set_are_put_through_no_link(settings, tmp_path):
    """A folder of copies in which somebody has put a link: the set's files are not written behind it."""
    content, outside = b"an image", tmp_path / "outside"
    outside.mkdir()
    md5 = hashlib.md5(content).hexdigest()
    cached = dvc_storage(settings).cached(md5)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    record(settings, json.dumps([{"md5": md5, "relpath": "in/a.png"}]).encode())
    concept = load_concept(settings, "pot")
    images = image_set(settings, concept)
    copies = local_images(settings, concept, images)["in/a.png"].parent
    shutil.rmtree(copies)
    copies.symlink_to(outside)
    with pytest.raises(ImproperName, match="leads out of"):
        local_images(settings, concept, images)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("path", ["../victim", "/victim"])
def test_what_dvc_lock_says_of_files_elsewhere_is_not_read(settings, path):
    lock = {"stages": {"samples@pot": {"cmd": "x", "deps": [{"path": path, "md5": "a" * 32}], "outs": []}}}
    (settings.root / "dvc.lock").write_text(json.dumps(lock))
    assert not sample_is_current(settings, "pot")


def test_an_imported_repository_brings_in_no_file_of_this_machine(tmp_path):
    clone, outside = tmp_path / "clone", tmp_path / "private"
    photos(outside)
    (clone / "dataset").mkdir(parents=True)
    (clone / "dataset" / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\n")
    (clone / "dataset" / "dog").symlink_to(outside)
    with pytest.raises(ImproperName, match="leads out of"):
        read_subjects(clone, "origin")

"""An image set that changes by command, and what was done to one by hand: found, named, brought into order."""

from pathlib import Path

import pytest
from PIL import Image

from model.errors import InputError
from tasks.concepts.add import NewConcept, add_concept
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_edits import ImageChange, change_images
from tasks.concepts.image_notes import notes_of
from tasks.concepts.image_origins import image_origins
from tasks.concepts.image_sets import image_set, recorded_version
from tasks.concepts.moves import check_removal, check_rename, remove_concept, rename_concept
from tasks.pictures.metadata import metadata_kinds
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings
from tests.data_project import commit, make_project, photo, photos, tree

LIMITS = BaseLimits(resolution=512)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A committed project with the concept `pot`: photo-0 to photo-3, and a too small one that was left out."""
    folder = tmp_path_factory.mktemp("edits")
    settings = make_project(folder / "project")
    brought = photos(folder / "brought", 4)
    photo(9, 100, 90).save(folder / "brought" / "small.png")
    (folder / "brought" / "text.jpg").write_text("no picture")
    photo(2, 300, 260).save(folder / "brought" / "twice.png")  # smaller than photo-2
    new = NewConcept(name="pot", images=[folder / "brought"], category="teapot", take_good=True)
    with pytest.raises(InputError) as caught:
        add_concept(settings, NewConcept(name="pot", images=[folder / "brought"], category="teapot"), LIMITS)
    assert len(caught.value.problems) == 3
    added = add_concept(settings, new, LIMITS)
    assert [image.original for image in added.images] == [path.name for path in brought]
    assert [said.split(": ")[0].rpartition("/")[2] for said in added.left_out] == ["small.png", "text.jpg", "twice.png"]
    assert sum("the base draws 512 x 512: it is enlarged 1.8 times" in hint for hint in added.hints) == 4
    commit(settings.root)
    return settings


@pytest.fixture
def settings(original: Settings, tmp_path: Path) -> Settings:
    import shutil

    shutil.copytree(original.root, tmp_path / "project", symlinks=True)
    return Settings(root=tmp_path / "project")


def with_position(path: Path, seed: int) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    photo(seed).save(path, exif=exif, quality=95)
    return path


def kinds(settings: Settings) -> list[str]:
    concept = load_concept(settings, "pot")
    return [note.kind for note in notes_of(settings, [(concept, image_set(settings, concept))]).get("pot", ())]


def names(settings: Settings) -> dict[str, str]:
    return {origin.file: origin.original for origin in image_origins(load_concept(settings, "pot"))}


def test_images_are_put_in_taken_out_and_exchanged(settings: Settings, tmp_path: Path) -> None:
    change = ImageChange(
        add=[with_position(tmp_path / "IMG_1.jpg", 20)],
        remove=["photo-0.png"],
        replace=[("02.png", with_position(tmp_path / "better.jpg", 21))],
    )
    done = change_images(settings, "pot", change, LIMITS)
    assert names(settings) == {
        "01.png": "photo-1.png",
        "02.png": "better.jpg",
        "03.png": "photo-3.png",
        "04.png": "IMG_1.jpg",
    }
    assert (done.stored, done.removed) == (("02.png", "04.png"), ("00.png",))
    concept = load_concept(settings, "pot")
    assert done.before != done.digest == image_set(settings, concept).digest == recorded_version(settings, concept)
    assert kinds(settings) == [], "no metadata, and all entered"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (ImageChange(remove=["00.png", "01.png"]), "2 usable images, at least 3"),
        (ImageChange(remove=["nobody.png"]), "no image of concept 'pot', which has 00.png"),
        (ImageChange(add=[Path("brought-again.png")]), "images/00.png and brought-again.png hold the same picture"),
        (ImageChange(remove=["00.png"], replace=[("00", Path("brought-again.png"))]), "asked for twice"),
    ],
)
def test_what_would_spoil_the_set_is_refused_and_nothing_is_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: ImageChange, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(0).save("brought-again.png")
    before = tree(settings.root)
    with pytest.raises(InputError, match=said):
        change_images(settings, "pot", change, LIMITS)
    assert tree(settings.root) == before


def test_what_was_done_by_hand_is_named_and_mended(settings: Settings) -> None:
    """A photograph that was dropped in with its position, one that was drawn over, one that was deleted."""
    images = settings.concepts_dir / "pot" / "images"
    assert kinds(settings) == []
    with_position(images / "IMG_7.jpg", 22)
    photo(23).save(images / "01.png")
    (images / "03.png").unlink()
    assert kinds(settings) == ["metadata", "no entry", "changed", "gone"]
    concept = load_concept(settings, "pot")
    first = notes_of(settings, [(concept, image_set(settings, concept))])["pot"][0].said
    assert "images/IMG_7.jpg with metadata that was not taken out (Exif, a GPS position)" in first
    assert "`conceptbooth images pot --mend` takes it out" in first

    done = change_images(settings, "pot", ImageChange(mend=True), LIMITS)
    assert any("dvc gc" in hint for hint in done.hints), "DVC may have kept the position"
    assert kinds(settings) == []
    assert names(settings) == {
        "00.png": "photo-0.png",
        "01.png": "01.png",
        "02.png": "photo-2.png",
        "IMG_7.png": "IMG_7.jpg",
    }
    assert not any(metadata_kinds(file.read_bytes()) for file in images.iterdir())
    again = change_images(settings, "pot", ImageChange(mend=True), LIMITS)
    assert (again.stored, again.removed, again.before) == ((), (), done.digest)


def test_a_killed_change_is_named_and_mended(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.concepts.image_edits.write_origins", killed)
        with pytest.raises(KeyboardInterrupt):
            change_images(settings, "pot", ImageChange(add=photos(tmp_path / "in", 1, 30)), LIMITS)
    assert kinds(settings) == ["no entry"]
    change_images(settings, "pot", ImageChange(mend=True), LIMITS)
    assert kinds(settings) == []


def test_what_dvc_makes_and_what_was_imported_is_as_its_origin_has_it(settings: Settings) -> None:
    record = settings.concepts_dir / "pot" / "images.dvc"
    record.write_text(record.read_text() + "deps:\n- path: teapot\n  repo: {url: x, rev_lock: y}\n")
    with_position(settings.concepts_dir / "pot" / "images" / "IMG_7.jpg", 22)
    assert kinds(settings) == []
    with pytest.raises(
        InputError, match="imported, locked to a commit of their data set; `conceptbooth add OTHER-NAME"
    ):
        change_images(settings, "pot", ImageChange(mend=True), LIMITS)


def test_a_concept_is_renamed_as_a_whole(settings: Settings) -> None:
    digest = image_set(settings, load_concept(settings, "pot")).digest
    rename_concept(settings, check_rename(settings, "pot", "kettle", LIMITS), "kettle")
    kettle = load_concept(settings, "kettle")
    assert image_set(settings, kettle).digest == recorded_version(settings, kettle) == digest
    assert not (settings.concepts_dir / "pot").exists()
    with pytest.raises(InputError, match="exists already"):
        check_rename(settings, "kettle", "kettle", LIMITS)
    with pytest.raises(InputError, match="lowercase letters"):
        check_rename(settings, "kettle", "My Pot", LIMITS)


def test_a_removed_concept_and_what_is_left_of_it(settings: Settings) -> None:
    concept, kept = check_removal(settings, "pot")
    assert kept == "git"
    with (concept.folder / "concept.yaml").open("a") as file:
        file.write("description: changed\n")
    assert check_removal(settings, "pot")[1] == "cache"
    photo(40).save(concept.images / "05.png")
    assert check_removal(settings, "pot")[1] == "nowhere"
    remove_concept(settings, concept)
    assert [path.name for path in settings.concepts_dir.iterdir()] == [".gitignore"]

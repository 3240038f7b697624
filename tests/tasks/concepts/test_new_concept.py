"""A new concept: stored without metadata, whole or not at all, and finished by the same call after an interruption."""

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError, WorkFailed
from tasks.concepts.add import Added, NewConcept, add_concept
from tasks.concepts.concepts import NOT_STATED, load_concept
from tasks.concepts.image_origins import image_origins
from tasks.concepts.image_sets import image_set
from tasks.files.hashing import file_digest
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings
from tests.data_project import commit, make_project, photo, photos, tree

NO_LIMITS = BaseLimits()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


def add(settings: Settings, *images: Path, name: str = "pot", limits: BaseLimits = NO_LIMITS, **facts: Any) -> Added:
    return add_concept(settings, NewConcept(name=name, images=images, **{"category": "teapot", **facts}), limits)


def png_chunks(path: Path) -> set[bytes]:
    content, names, place = path.read_bytes(), set(), 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        names.add(content[place + 4 : place + 8])
        place += 12 + length
    return names


def test_an_image_whose_name_no_document_can_hold_is_refused_before_anything_is_written(
    settings: Settings, tmp_path: Path
) -> None:
    photos(tmp_path / "brought")
    photo(9).save(Path(os.fsdecode(os.fsencode(tmp_path) + b"/brought/caf\xe9.png")))
    before = tree(settings.root)
    with pytest.raises(InputError, match=r"caf\\udce9.png: a name that is not UTF-8"):
        add(settings, tmp_path / "brought")
    assert tree(settings.root) == before


def test_what_is_stored(settings: Settings, tmp_path: Path) -> None:
    """One real `dvc add` for everything that a stored concept must be."""
    brought = tmp_path / "brought"
    photos(brought, 2)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)  # GPS latitude
    large = photo(5, 1800, 1600)
    large.transpose(Image.Transpose.ROTATE_90).save(brought / "large.jpg", exif=exif, quality=95)
    (brought / "notes.txt").touch()

    added = add(settings, brought, licence="CC0")

    concept = load_concept(settings, "pot")
    assert added.concept == concept
    assert (concept.super_category, concept.licence, concept.source) == ("teapot", "CC0", NOT_STATED)
    assert concept.consent == NOT_STATED
    files = sorted(concept.images.iterdir())
    assert [file.name for file in files] == ["00.png", "01.png", "02.png"]
    assert all(png_chunks(file) == {b"IHDR", b"IDAT", b"IEND"} for file in files), "pixels and nothing else"
    assert Image.open(files[0]).size == (1728, 1536), "upright, the short side scaled down"
    np.testing.assert_array_equal(np.asarray(Image.open(files[1])), np.asarray(photo(0)))

    origins = image_origins(concept)
    assert [origin.original for origin in origins] == ["large.jpg", "photo-0.png", "photo-1.png"]
    for file, origin in zip(files, origins, strict=True):
        assert (origin.file, origin.sha256) == (file.name, file_digest(file))
        assert origin.original_sha256 == file_digest(brought / origin.original)

    images = image_set(settings, concept)
    assert images.digest == added.digest
    assert images.state == "uncommitted", "DVC has it, git has not"
    assert added.hints == (
        f"left aside, no image by its name: {brought / 'notes.txt'}",
        "source, consent: not stated; write it into concept.yaml before anything is released",
    )


def test_everything_wrong_is_reported_together_and_nothing_is_written(settings: Settings, tmp_path: Path) -> None:
    before = tree(settings.root)
    good = photos(tmp_path / "in", 2)
    (tmp_path / "in/text.jpg").write_text("text")

    def unknown_word(concept: object) -> None:
        raise InputError("the base does not know 'flurb'")

    with pytest.raises(InputError) as caught:
        add(
            settings,
            *good,
            tmp_path / "in/text.jpg",
            name="My Pot",
            category="flurb",
            limits=BaseLimits(check_words=unknown_word),
        )
    said = caught.value.problems
    assert len(said) == 4
    assert "concept name 'My Pot'" in said[0]
    assert "flurb" in said[1]
    assert "text.jpg: not an image" in said[2]
    assert said[3].startswith("2 usable images")
    assert tree(settings.root) == before


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"category": ""}, '--category is empty; say it as in --category "stuffed animal"'),
        ({"category": "  "}, "--category is empty"),
        ({"category": "tea {} pot"}, "--category: super-category 'tea {} pot': plain words"),
        ({"category": "tea\npot"}, "plain words"),
        ({"licence": " "}, '--licence is empty; say it as in --licence "CC-BY-4.0"'),
    ],
)
def test_wrong_facts(settings: Settings, tmp_path: Path, facts: dict[str, str], said: str) -> None:
    before = tree(settings.root)
    with pytest.raises(InputError) as caught:
        add(settings, *photos(tmp_path / "in"), **facts)
    (problem,) = caught.value.problems
    assert said in problem
    assert tree(settings.root) == before


def test_more_images_than_usual(settings: Settings, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(101)]
    for i, path in enumerate(paths):
        photo(i, 64, 64).save(path)
    added = add(settings, *paths, limits=BaseLimits(min_pixels=64))
    names = [image.file for image in added.images]
    assert names == sorted(names), "the order of the files is the order that was given"
    assert (names[0], names[-1]) == ("000.png", "100.png")
    assert added.hints[0].startswith("101 images: 3 to 8 good ones are usual")


def test_what_dvc_could_not_finish_is_finished_by_the_same_call(settings: Settings, tmp_path: Path) -> None:
    paths = photos(tmp_path / "in", 4)
    config = settings.root / ".dvc/config"
    right = config.read_text()
    config.write_text("[no section\n")
    with pytest.raises(WorkFailed, match=r"`dvc add data/concepts/pot/images` failed: .*config"):
        add(settings, *paths)
    stored = tree(settings.root / "data")
    assert "concepts/pot/images/03.png" in stored
    assert "concepts/pot/images.dvc" not in stored

    config.write_text(right)
    left_over = settings.concepts_dir / ".adding-killed/pot"
    left_over.mkdir(parents=True)
    for other in ({"licence": "CC0"}, {"category": "cup"}):
        with pytest.raises(InputError, match="from an `add` of other images or facts that was interrupted"):
            add(settings, *paths, **other)
    with pytest.raises(InputError, match="from an `add` of other images or facts that was interrupted"):
        add(settings, *paths[:3])
    assert tree(settings.root / "data") == stored

    added = add(settings, *paths)
    assert {name for name in tree(settings.root / "data") if name not in stored} == {
        "concepts/pot/images.dvc",
        "concepts/pot/.gitignore",
    }
    assert image_set(settings, added.concept).state == "uncommitted"

    with pytest.raises(InputError, match=r"concept 'pot' exists already \(data/concepts/pot\): choose another name"):
        add(settings, *paths)
    add(settings, *photos(tmp_path / "more", first=20), name="cup")
    assert not left_over.exists(), "the next one that is stored clears what a killed one left"


def test_names_that_exist(settings: Settings, tmp_path: Path) -> None:
    for name in ("red-pot", "empty"):
        (settings.concepts_dir / name).mkdir()
    (settings.concepts_dir / "red-pot/concept.yaml").write_text("super_category: teapot\n")
    paths = photos(tmp_path / "in")
    before = tree(settings.root)
    for name, said in (
        ("red-pot", "'red-pot' exists already"),
        ("empty", "'empty' exists already"),
        ("red_pot", "'red_pot': too near to the concept 'red-pot'"),
    ):
        with pytest.raises(InputError) as caught:
            add(settings, *paths[:2], name=name)
        assert said in caught.value.problems[0]
        assert "2 usable images" in caught.value.problems[1]
    assert tree(settings.root) == before


def test_a_place_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    settings.concepts_dir.joinpath(".gitignore").unlink()
    settings.concepts_dir.rmdir()
    settings.concepts_dir.write_text("a file where the folder should be")
    with pytest.raises(WorkFailed, match=r"concept 'pot': writing below .* failed"):
        add(settings, *photos(tmp_path / "in"))


@pytest.mark.parametrize("rule", ["data/", "*.dvc", "*.yaml", "data/concepts/pot/*"])
def test_a_rule_of_gitignore_that_would_leave_the_concept_out_is_named_before_anything_is_written(
    settings: Settings, tmp_path: Path, rule: str
) -> None:
    (settings.root / ".gitignore").write_text(f".conceptbooth/\n{rule}\n")
    before = tree(settings.root)
    with pytest.raises(InputError) as caught:
        add(settings, *photos(tmp_path / "brought"))
    assert f"ignored by git (.gitignore line 2: {rule})" in caught.value.problems[0]
    assert tree(settings.root) == before


def test_images_themselves_may_be_ignored(settings: Settings, tmp_path: Path) -> None:
    (settings.root / ".gitignore").write_text(".conceptbooth/\n*.png\n")
    add(settings, *photos(tmp_path / "brought"))
    commit(settings.root)
    assert image_set(settings, load_concept(settings, "pot")).state == "committed"


def test_outside_git_nothing_is_added(settings: Settings, tmp_path: Path) -> None:
    shutil.rmtree(settings.root / ".git")
    before = tree(settings.root)
    with pytest.raises(InputError, match=r"is in no git repository.*git init"):
        add(settings, *photos(tmp_path / "brought"))
    assert tree(settings.root) == before

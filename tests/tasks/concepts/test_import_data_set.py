"""Importing concepts: real git and DVC on a local repository that is laid out like github.com/google/dreambooth."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from model.errors import InputError
from tasks.concepts.concepts import NOT_STATED, load_concept
from tasks.concepts.dreambooth_data_set import CLASSES, REFERENCES
from tasks.concepts.image_reading import normalise_image
from tasks.concepts.image_sets import image_set
from tasks.concepts.import_data_set import Imported, import_dreambooth
from tasks.files.yaml_files import read_yaml
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings
from tests.data_project import commit, git, make_project, photo, tree

CLASSES_TEXT = """Classes

subject_name,class
teapot,teapot
bear_plushie,stuffed animal
few,can

Prompts
"""
REFERENCES_TEXT = """The data set - References

teapot:
(credit: https://unsplash.com/@somebody)
00: https://unsplash.com/photos/abc

bear_plushie: Photos taken by Some Body

Licenses
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """Two whole subjects, one of them with GPS and a multi-picture file, and one of a single picture."""
    root = tmp_path_factory.mktemp("origin") / "dreambooth"
    for first, (subject, count) in enumerate({"teapot": 3, "bear_plushie": 3, "few": 1}.items()):
        folder = root / "dataset" / subject
        folder.mkdir(parents=True)
        for number in range(count):
            photo(10 * first + number).save(folder / f"{number:02}.jpg", quality=95)
    exif = Image.Exif()
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)  # GPS latitude
    photo(50).save(root / "dataset/teapot/01.jpg", exif=exif, quality=95)
    preview = photo(51, 64, 48)
    photo(52).save(root / "dataset/teapot/02.jpg", format="MPO", save_all=True, append_images=[preview], quality=95)
    (root / CLASSES).write_text(CLASSES_TEXT)
    (root / REFERENCES).write_text(REFERENCES_TEXT)
    git(root, "init", "--quiet")
    commit(root)
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


def imported(settings: Settings, origin: Path, *subjects: str, revision: str | None = None) -> list[Imported]:
    return import_dreambooth(
        settings, str(origin), subjects=subjects, revision=revision, limits=BaseLimits(min_pixels=256)
    )


def test_subjects_become_concepts_whose_origin_dvc_has_on_record(settings: Settings, origin: Path) -> None:
    head = git(origin, "rev-parse", "HEAD").strip()
    done = imported(settings, origin, "teapot", "bear_plushie")
    assert [(each.concept.name, each.images, each.state) for each in done] == [
        ("teapot", 3, "imported"),
        ("bear_plushie", 3, "imported"),
    ]
    pot, bear = (load_concept(settings, name) for name in ("teapot", "bear_plushie"))
    assert (pot.super_category, pot.licence, pot.consent) == ("teapot", "Unsplash License", NOT_STATED)
    assert pot.source == f"{origin} dataset/teapot at {head[:12]} (unsplash.com/@somebody)"
    assert (bear.super_category, bear.source.partition(" (")[2]) == ("stuffed animal", "Photos taken by Some Body)")
    record = read_yaml(pot.folder / "images.dvc", "images.dvc")
    assert record["deps"] == [{"path": "dataset/teapot", "repo": {"url": str(origin), "rev": head, "rev_lock": head}}]
    assert record["outs"][0]["md5"] == done[0].digest == image_set(settings, pot).digest
    assert image_set(settings, pot).state == "uncommitted"
    for name in ("00.jpg", "01.jpg", "02.jpg"):
        assert (pot.images / name).read_bytes() == (origin / "dataset/teapot" / name).read_bytes()
    # What everything is made from has neither the metadata nor the second picture.
    assert normalise_image(pot.images / "01.jpg").getexif() == {}
    assert normalise_image(pot.images / "02.jpg").size == (320, 280)

    before = tree(settings.root)
    assert [each.state for each in imported(settings, origin, "teapot", revision=head[:12])] == ["already there"]
    assert tree(settings.root) == before
    # Stopped between the concept's folder and DVC's record: the same call finishes.
    shutil.rmtree(pot.images)
    (pot.folder / "images.dvc").unlink()
    assert [each.state for each in imported(settings, origin, "teapot")] == ["imported"]
    assert {name: content for name, content in tree(settings.root).items() if "teapot" in name} == {
        name: content for name, content in before.items() if "teapot" in name
    }


def test_everything_that_is_wrong_is_said_before_anything_is_written(settings: Settings, origin: Path) -> None:
    taken = settings.concepts_dir / "bear_plushie"
    taken.mkdir()
    (taken / "concept.yaml").write_text("{super_category: bear, licence: a, source: b, consent: c}")
    before = tree(settings.root)
    with pytest.raises(InputError) as caught:
        imported(settings, origin, "teapot", "few", "bear_plushie")
    short, exists = caught.value.problems
    assert short.startswith("1 usable image, at least 3")
    assert exists.startswith("concept 'bear_plushie' exists already")
    with pytest.raises(InputError, match=r"no subject 'teapots'; did you mean 'teapot'\? there are: teapot, bear_"):
        imported(settings, origin, "teapots")
    with pytest.raises(InputError, match="no commit, tag or branch 'v9'"):
        imported(settings, origin, "teapot", revision="v9")
    with pytest.raises(InputError, match=r"prompts_and_classes\.txt: cannot be read, so this is no copy of"):
        imported(settings, settings.root)
    with pytest.raises(InputError, match="nowhere: no git repository"):
        imported(settings, settings.root / "nowhere")
    assert tree(settings.root) == before
    assert not list(settings.home.glob("import-*"))


@pytest.mark.parametrize("origin", ["https://ada:secret@example.org/set", "https://ada:s%40cret@example.org/set.git"])
def test_a_password_in_the_address_is_refused_and_written_nowhere(settings: Settings, origin: str) -> None:
    before = {path for path in settings.root.rglob("*") if path.is_file()}
    with pytest.raises(
        InputError, match=r"https://example\.org/set.*: a password in its address would stand"
    ) as refused:
        import_dreambooth(settings, origin, subjects=["teapot"], revision=None, limits=BaseLimits(min_pixels=256))
    assert "cret" not in str(refused.value) and "ada" not in str(refused.value)
    assert {path for path in settings.root.rglob("*") if path.is_file()} == before


def test_the_command(settings: Settings, origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(settings.root)
    command = ["import", "google-dreambooth", "--from", str(origin), "--subjects", "teapot", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)
    assert (told["name"], told["state"], told["images"], told["super_category"]) == ("teapot", "imported", 3, "teapot")
    result = CliRunner().invoke(app, ["import", "google-dreambooth", "--from", str(origin), "--subjects", "kettle"])
    assert result.exit_code == 2 and "no subject 'kettle'" in result.stderr


def test_what_file_managers_and_captions_leave_beside_images_stops_no_import(
    settings: Settings, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty = shutil.copytree(origin, tmp_path / "dirty")
    pot = dirty / "dataset/teapot"
    (pot / ".DS_Store").write_bytes(b"\0\0\0\x01Bud1")
    (pot / "00.txt").write_text("a photo of a teapot")
    commit(dirty)
    monkeypatch.chdir(settings.root)
    done = CliRunner().invoke(app, ["import", "google-dreambooth", "--from", str(dirty), "--subjects", "teapot"])
    assert done.exit_code == 0, done.output
    assert "teapot  imported: 3 images" in done.stdout
    assert "hint: nothing is learnt from" in done.stderr
    assert "00.txt" in done.stderr
    concept = load_concept(settings, "teapot")
    images = image_set(settings, concept)
    assert images.state == "uncommitted", "DVC's record and the folder are the same data version"
    assert [each.state for each in imported(settings, dirty, "teapot")] == ["already there"]
    bear = dirty / "dataset/bear_plushie"
    (bear / "more").mkdir()
    shutil.copy(pot / "00.jpg", bear / "more")
    commit(dirty)
    with pytest.raises(InputError, match="more: a folder, whose files would be taken too"):
        imported(settings, dirty, "bear_plushie")

"""Which models saw an image: by its bytes before and after `add`, by its looks, and never by the index's word alone."""

import io
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from flows.cli.app import app
from model.errors import InputError
from tasks.concepts.image_checks import named_fingerprint
from tasks.files.hashing import file_digest
from tasks.lineage.index import open_index
from tasks.lineage.looks import candidates, overlap, patterns_of, whole_likenesses
from tasks.lineage.sightings import Sightings, who_saw, who_saw_alike
from tasks.project.settings import Settings
from tasks.store.store import open_store
from tests.data_project import photo
from tests.lineage_project import Trained
from tests.tasks.lineage.test_lineage import moved_away, promoted


def saw(settings: Settings, asked: str) -> Sightings:
    store = open_store(settings)
    with open_index(settings, store) as index:
        return who_saw(settings, store, index, asked)


def alike(settings: Settings, file: Path) -> Sightings:
    store = open_store(settings)
    with open_index(settings, store) as index:
        return who_saw_alike(settings, store, index, file)


def index_file(settings: Settings) -> Path:
    (file,) = settings.home.glob("lineage-*.db")
    return file


@pytest.fixture
def serving(lineage_project: Trained):
    """Version 1 was promoted and serves."""
    with promoted(lineage_project.settings, lineage_project.first):
        yield


def test_an_image_is_found_as_stored_as_brought_and_by_its_hash(lineage_project, serving):
    settings = lineage_project.settings
    stored = lineage_project.last.job.concept.images / "01.png"
    brought = lineage_project.originals[1]
    assert file_digest(stored) != file_digest(brought) and Image.open(brought).getexif()
    for asked, how in (
        (str(stored), "the image itself"),
        (file_digest(stored).upper(), "the image itself"),
        (str(brought), "made from IMG_1.jpg"),
    ):
        found = saw(settings, asked).found
        assert [(s.concept, s.version, s.in_production) for s in found] == [("owl", 1, True), ("owl", 2, False)]
        assert [(s.aliases, s.promotions) for s in found] == [((), (1,)), (("candidate",), ())]
        assert {match.how for sighting in found for match in sighting.matches} == {how}
        assert {match.file for sighting in found for match in sighting.matches} == {"images/01.png"}


def test_what_no_model_saw_is_an_answer_and_what_is_no_image_an_error(lineage_project, tmp_path):
    answer = saw(lineage_project.settings, "0" * 64)
    assert answer.found == () and answer.trainings == 2
    with pytest.raises(InputError, match="no such file, and it is no sha256"):
        saw(lineage_project.settings, "photo.jpg")
    words = tmp_path / "words.jpg"
    words.write_text("no picture")
    with pytest.raises(InputError, match=r"words\.jpg"):
        alike(lineage_project.settings, words)


def test_a_copy_is_found_by_its_looks_and_another_picture_is_not(lineage_project, tmp_path):
    with Image.open(lineage_project.originals[0]) as picture:
        picture.resize((200, 150)).save(tmp_path / "copy.jpg", quality=60)
    photo(99, 64, 48).save(tmp_path / "other.png")
    found = alike(lineage_project.settings, tmp_path / "copy.jpg").found
    assert [(s.version, [match.file for match in s.matches]) for s in found] == [
        (2, ["images/00.png"]),
        (1, ["images/00.png"]),
    ]
    assert all(0 <= match.bits <= 40 for sighting in found for match in sighting.matches)
    assert alike(lineage_project.settings, tmp_path / "other.png").found == ()


def test_a_mirrored_copy_is_found_and_what_is_not_looked_for_is_said(lineage_project, tmp_path, monkeypatch):
    with Image.open(lineage_project.originals[0]) as picture:
        ImageOps.mirror(picture).resize((200, 150)).save(tmp_path / "mirrored.jpg", quality=80)
    found = alike(lineage_project.settings, tmp_path / "mirrored.jpg").found
    assert [s.version for s in found] == [2, 1]
    assert all(match.how.startswith("mirrored, looks ") for s in found for match in s.matches)

    photo(99, 64, 48).save(tmp_path / "other.png")
    monkeypatch.chdir(lineage_project.settings.root)
    shown = CliRunner().invoke(app, ["lineage", "--near", str(tmp_path / "other.png")]).stdout
    assert "no model saw it" not in shown and "no image on record looks like it" in shown
    assert "looked for: the same picture resized" in shown and "not looked for: a smaller part of the picture" in shown


def scene(seed: int) -> Image.Image:
    """Patches of many sizes: a tenth cut off changes the hash of the whole."""
    patches = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mirrored", [False, True], ids=["as it is", "mirrored"])
@pytest.mark.parametrize(
    "cut", [(0.1, 0, 0, 0), (0, 0.1, 0, 0.1), (0.1, 0.1, 0.1, 0.1), (0.04, 0.09, 0.02, 0.06)], ids=str
)
def test_a_part_without_a_tenth_of_each_side_is_told_by_its_looks(cut, mirrored):
    pictures = [scene(seed) for seed in range(8)]
    patterns = patterns_of([named_fingerprint(picture) for picture in pictures])
    left, top, right, bottom = cut
    part = pictures[3].crop((round(320 * left), round(240 * top), round(320 * (1 - right)), round(240 * (1 - bottom))))
    part = saved(ImageOps.mirror(part) if mirrored else part.resize((200, 180)))
    assert 3 not in whole_likenesses(part, patterns)
    guesses = candidates(part, patterns)
    found = {place: likeness for place, guess in guesses if (likeness := overlap(part, pictures[place], guess))}
    assert list(found) == [3] and found[3].mirrored == mirrored
    window = found[3].window
    assert (window.left, window.top, window.right, window.bottom) == pytest.approx(cut, abs=0.015)


def test_a_picture_that_shows_more_than_the_one_on_record_is_told_too():
    whole = scene(1)
    part = whole.crop((16, 0, 320, 226))
    ((_, guess),) = candidates(saved(whole), patterns_of([named_fingerprint(part)]))
    likeness = overlap(saved(whole), part, guess)
    assert likeness and "added 5 % on the left, 6 % at the bottom" in likeness.words, likeness


def saved(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70)
    return Image.open(buffer)


def test_a_cropped_copy_is_found_and_where_the_store_lacks_the_picture_that_is_said(lineage_project, tmp_path):
    settings = lineage_project.settings
    with Image.open(lineage_project.originals[0]) as picture:
        width, height = picture.size
        part = picture.crop((0, 0, round(width * 0.9), round(height * 0.9)))
        ImageOps.mirror(part).resize((200, 150)).save(tmp_path / "part.jpg", quality=80)
    found = alike(settings, tmp_path / "part.jpg").found
    assert [s.version for s in found] == [2, 1]
    (match,) = found[0].matches
    assert match.file == "images/00.png" and match.how.startswith("mirrored, a part of it, cut off "), match
    prepared = lineage_project.last.manifests["prepare"]
    sha256 = prepared.files["images/00.png"].sha256
    with moved_away(settings.store / "cas" / "sha256" / sha256[:2] / sha256):
        answer = alike(settings, tmp_path / "part.jpg")
    assert answer.found == () and any("whether it is a part of them is not known: 1" in n for n in answer.notes)


def test_without_the_registry_the_store_s_record_names_the_version(lineage_project):
    with moved_away(lineage_project.settings.home / "mlflow" / "mlflow.db"):
        answer = saw(lineage_project.settings, str(lineage_project.originals[0]))
    assert [(s.concept, s.version, s.aliases) for s in answer.found] == [("owl", 2, ()), ("owl", None, ())]


def test_the_index_is_not_believed(lineage_project):
    """It claims that another image was seen, and forgets one; it is damaged; an artefact goes, and comes back."""
    settings, wrong = lineage_project.settings, "f" * 64
    asked = str(lineage_project.originals[2])
    whole = saw(settings, asked).found
    with sqlite3.connect(index_file(settings)) as database:
        database.execute("UPDATE image SET sha256 = ? WHERE file = 'images/00.png'", (wrong,))
    assert saw(settings, wrong).found == ()
    index_file(settings).write_bytes(b"no database at all" * 100)
    assert saw(settings, asked).found == whole
    evaluation = lineage_project.first.manifests["evaluate"].key
    with moved_away(settings.store / "stages" / "evaluate" / evaluation):
        answer = saw(settings, asked)
        ends = {(s.stage, s.version) for s in answer.found}
        assert ends == {("evaluate", 2), ("train-3-unet", None)}
        assert any("1 registered versions have no training in this store" in note for note in answer.notes)
    assert saw(settings, asked).found == whole


def test_a_damaged_manifest_is_said_to_be_unread(lineage_project):
    settings = lineage_project.settings
    index_file(settings).unlink()
    path = settings.store / "stages" / "prepare" / lineage_project.last.manifests["prepare"].key / "manifest.json"
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content.replace(b"own photographs", b"own photographz"))
    try:
        answer = saw(settings, str(lineage_project.last.job.concept.images / "00.png"))
    finally:
        path.write_bytes(content)
    assert answer.found == () and any("changed since it was sealed" in note for note in answer.notes)


@pytest.mark.parametrize("option", ["--image", "--near"])
def test_in_80_columns_nothing_is_cut_off(lineage_project, serving, monkeypatch, option):
    monkeypatch.chdir(lineage_project.settings.root)
    shown = CliRunner().invoke(app, ["lineage", option, str(lineage_project.originals[0])], env={"COLUMNS": "80"})
    table = shown.stdout.partition("\n")[2]
    for word in ("owl", "in production", "promotion 1", "@candidate", "images/00.png", " 1 ", " 2 "):
        assert word in table, table
    assert "…" not in table and max(map(len, table.splitlines())) <= 80


def test_the_command_prints_a_document_and_refuses_what_is_unclear(lineage_project, monkeypatch):
    monkeypatch.chdir(lineage_project.settings.root)
    done = CliRunner().invoke(app, ["lineage", "--image", str(lineage_project.originals[0]), "--json"])
    assert done.exit_code == 0
    assert [found["version"] for found in json.loads(done.stdout)["found"]] == [2, 1]
    shown = CliRunner().invoke(app, ["lineage", "--near", str(lineage_project.originals[0])])
    assert shown.exit_code == 0 and "seen by 2, 0 of them in production" in " ".join(shown.stdout.split())
    unseen = CliRunner().invoke(app, ["lineage", "--image", "0" * 64])
    assert unseen.exit_code == 2 and "no model saw it; looked through 2 trainings" in " ".join(unseen.output.split())
    for arguments in ([], ["owl", "--image", "0" * 64], ["--near", "x.png", "--verify"]):
        assert CliRunner().invoke(app, ["lineage", *arguments]).exit_code == 2

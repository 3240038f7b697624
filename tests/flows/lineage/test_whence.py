"""`conceptbooth whence` on pictures that `generate` made, and on others."""

import dataclasses
import io
import json
import os
import re
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from flows.cli.app import app
from model.marks.content_credentials import without_manifest
from model.marks.marking import Mark, marked_png, read_mark
from tasks.project.settings import load_settings
from tests.certificates import write_key_and_certificates
from tests.data_project import photo
from tests.lineage_project import CONCEPT, Trained

PROMPT = 'a {} on the "red" beach & <in> the snow'


@pytest.fixture(autouse=True)
def _inside(lineage_project: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(lineage_project.settings.root)


@pytest.fixture(scope="module")
def picture(lineage_project: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that version 1 drew."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):  # a command sets some variables for good
        patch.chdir(lineage_project.settings.root)
        done = run("generate", f"{CONCEPT}/1", "a {} on the beach", "-n", 1, "--seed", 3, "-o", folder)
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_a_picture_tells_which_version_made_it_and_leads_to_its_lineage(lineage_project: Trained, picture: Path):
    done = run("whence", picture, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    mark = told["mark"]
    assert (mark["concept"], mark["version"], mark["prompt"]) == (CONCEPT, 1, "a {} on the beach")
    assert (mark["text"], mark["seed"], mark["index"]) == ("a <owl> turtle on the beach", 3, 0)
    assert told["c2pa"] is None
    assert told["lineage"]["version"]["version"] == 1
    assert told["lineage"]["evaluation"]["key"] == lineage_project.first.manifests["evaluate"].key
    shown = run("whence", picture).stdout
    for words in (
        "concept owl version 1",
        "a {} on the beach",
        "3, picture 0",
        "not signed",
        "CLIP-I",
        "lineage owl/1",
    ):
        assert words in shown


def copy_of(picture: Path, folder: Path, *, size: int = 40, mirrored: bool = False) -> Path:
    """What a social network sends back: another size, a JPEG, no metadata."""
    with Image.open(picture) as opened:
        sent = opened.convert("RGB").resize((size, size))
    file = folder / f"copy-{size}-{mirrored}.jpg"
    (ImageOps.mirror(sent) if mirrored else sent).save(file, quality=75)
    return file


def test_a_copy_without_metadata_leads_back_to_its_version_and_to_the_images(picture: Path, tmp_path: Path):
    for copy in (copy_of(picture, tmp_path), copy_of(picture, tmp_path, mirrored=True)):
        done = run("whence", copy, "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        record = told["record"]
        assert told["mark"] is None
        assert (record["concept"], record["version"], record["seed"], record["index"]) == (CONCEPT, 1, 3, 0)
        assert record["confidence"] in ("high", "medium") and record["told_by"] == "drawing"
        assert record["prompt"] is None and record["signed_by"] is None
        assert told["lineage"]["version"]["version"] == 1
    shown = run("whence", copy).stdout
    for words in (
        "owl version 1",
        "confidence: mirrored",
        "is not signed: a claim",
        "not on record",
        "00.png (IMG_0.jpg)",
    ):
        assert words in shown, shown
    beside = json.loads(run("whence", picture, "--json").stdout)  # with its mark, the record is told as well
    assert beside["record"]["bits"] == 0 and beside["mark"]["seed"] == 3 and beside["problems"] == []


def test_a_picture_like_none_on_record_is_refused_and_says_how_many_there_are(picture: Path, tmp_path: Path):
    photo(77, 64, 64).save(tmp_path / "other.jpg")
    done = run("whence", tmp_path / "other.jpg")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "it is unmarked" in done.stderr and re.search(r"on record \(\d+\) none looks like it", done.stderr)


def test_prompts_are_kept_where_that_is_set_and_nothing_where_records_are_off(picture, tmp_path, monkeypatch):
    prompt = "a {} in the snow"
    for setting, seed in (("none", 11), ("prompts", 12)):
        monkeypatch.setenv("CONCEPTBOOTH_DRAWN_RECORDS", setting)
        assert run("generate", f"{CONCEPT}/2", prompt, "-n", 1, "--seed", seed, "-o", tmp_path).exit_code == 0
    monkeypatch.delenv("CONCEPTBOOTH_DRAWN_RECORDS")
    off, kept = (next(tmp_path.glob(f"*-{seed}-0.png")) for seed in (11, 12))
    told = json.loads(run("whence", copy_of(kept, tmp_path), "--json").stdout)
    assert (told["record"]["prompt"], told["record"]["version"]) == (prompt, 2)
    assert json.loads(run("whence", off, "--json").stdout)["record"] != told["record"]
    records = load_settings(Path.cwd()).store / "drawn" / CONCEPT
    assert not any('"seed": 11' in file.read_text() for file in records.iterdir())


def test_several_pictures_and_a_folder_are_asked_in_one_call(picture: Path, tmp_path: Path):
    copy_of(picture, tmp_path)
    photo(77, 64, 64).save(tmp_path / "other.jpg")
    done = run("whence", tmp_path, picture)
    assert done.exit_code == 1  # of one nothing is known
    for words in ("its mark", "a record, ", f"{CONCEPT}/1", "trained on 3 images", "2 of 3 pictures lead back"):
        assert words in done.stdout, done.stdout
    assert "other.jpg: it is unmarked" in done.stderr
    told = json.loads(run("whence", tmp_path, picture, "--json").stdout)
    assert len(told["pictures"]) == 2 and [Path(file).name for file in told["unknown"]] == ["other.jpg"]


def test_what_a_served_model_drew_is_taken_in_by_its_mark_once(picture: Path, tmp_path: Path, monkeypatch):
    """A package's picture of another seed, which this project did not draw itself."""
    mark = dataclasses.replace(read_mark(picture), version=None, seed=99)
    served = tmp_path / "served.png"
    served.write_bytes(marked_png(photo(5, 64, 64), mark))
    unknown = tmp_path / "unknown.png"
    unknown.write_bytes(marked_png(photo(6, 64, 64), dataclasses.replace(mark, content="0" * 64)))
    monkeypatch.setenv("CONCEPTBOOTH_DRAWN_RECORDS", "none")
    assert run("whence", served, "--record").exit_code == 2
    monkeypatch.delenv("CONCEPTBOOTH_DRAWN_RECORDS")
    taken = [json.loads(run("whence", tmp_path, "--record", "--json").stdout)["recorded"] for _ in range(2)]
    assert taken == [1, 0]
    copy = copy_of(served, tmp_path, size=100)
    record = json.loads(run("whence", copy, "--json").stdout)["record"]
    assert (record["seed"], record["told_by"], record["confidence"]) == (99, "mark", "high")
    assert "taken in by the mark that it had" in run("whence", copy).stdout


def test_the_options_that_a_picture_was_drawn_by_are_told(tmp_path: Path):
    mark = Mark(
        concept=CONCEPT,
        content="c" * 64,
        version=2,
        prompt="a {}",
        text="an owl",
        seed=7,
        index=1,
        negative_prompt="people",
        steps=40,
        guidance=6.5,
        size="24x16",
    )
    shown = run("whence", written(tmp_path, marked_png(Image.new("RGB", (4, 4)), mark))).stdout
    assert "people" in shown
    assert "steps 40, guidance 6.5, size 24x16" in shown


def test_a_picture_of_a_package_finds_its_version_by_its_content_alone(picture: Path, tmp_path: Path):
    mark = dataclasses.replace(read_mark(picture), version=None)
    told = json.loads(run("whence", written(tmp_path, marked_png(Image.open(picture), mark)), "--json").stdout)
    assert (told["mark"]["version"], told["lineage"]["version"]["version"]) == (None, 1)


def test_a_version_that_nobody_knows_is_no_success(picture: Path, tmp_path: Path):
    mark = dataclasses.replace(read_mark(picture), content="0" * 64)
    done = run("whence", written(tmp_path, marked_png(Image.open(picture), mark)))
    assert done.exit_code == 1
    assert "concept owl version 1" in done.stdout
    assert "knows content 000000000000 of owl" in done.stderr


def test_a_signed_picture_is_checked_and_drawn_again_stays_the_same(picture: Path, tmp_path: Path, monkeypatch):
    pytest.importorskip("c2pa", reason="c2pa-python, an extra of the project, is not installed")
    for name, file in zip(("KEY", "CERTIFICATES"), write_key_and_certificates(tmp_path), strict=True):
        monkeypatch.setenv(f"CONCEPTBOOTH_C2PA_{name}", str(file))
    folder = tmp_path / "pictures"
    for _ in range(2):
        assert run("generate", f"{CONCEPT}/1", "a {} on the beach", "-n", 1, "--seed", 3, "-o", folder).exit_code == 0
    (signed,) = folder.iterdir()
    assert without_manifest(signed.read_bytes()) == picture.read_bytes()
    done = run("whence", signed)
    assert done.exit_code == 0
    assert "Valid, signed by a booth" in done.stdout
    start, extra = signed.read_bytes().index(b"caBX") - 4, signed.stat().st_size - picture.stat().st_size
    forged = marked_png(Image.open(picture), dataclasses.replace(read_mark(picture), seed=4))
    manifest = signed.read_bytes()[start : start + extra]
    changed = run("whence", written(tmp_path, forged[:start] + manifest + forged[start:]), "--json")
    assert changed.exit_code == 1, changed.output
    assert json.loads(changed.stdout)["c2pa"]["state"] == "Invalid"


def test_the_mark_is_iptcs_words_for_what_an_ai_made(picture: Path):
    with Image.open(picture) as opened:
        xmp = opened.text["XML:com.adobe.xmp"]  # of an iTXt chunk
    assert 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' in xmp
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert f"<Iptc4xmpExt:DigitalSourceType>{kind}</Iptc4xmpExt:DigitalSourceType>" in xmp
    prompt = "a &lt;owl&gt; turtle on the beach"
    assert f"<Iptc4xmpExt:AIPromptInformation>{prompt}</Iptc4xmpExt:AIPromptInformation>" in xmp


def test_a_mark_holds_any_words_and_survives_tools_that_write_xmp_anew(tmp_path: Path):
    mark = Mark(concept="owl", content="c" * 64, version=2, prompt=f"{PROMPT}\0", text="Öl 🦉", seed=0, index=1)
    png = marked_png(Image.new("RGB", (4, 4)), mark)
    expected = dataclasses.replace(mark, prompt=f"{PROMPT}\ufffd")
    assert read_mark(written(tmp_path, png)) == expected
    values = {name: value for name, value in dataclasses.asdict(mark).items() if value is not None and name != "prompt"}
    attributes = " ".join(f'o:{name}="{value}"' for name, value in values.items())
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:o="urn:conceptbooth:picture:1/">'
        f'<r:Description r:about="" {attributes} o:prompt="a {{}}"/><r:Description r:about="" i:DigitalSourceType='
        '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/></r:RDF></x:xmpmeta>'
    )
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG", xmp=xmp.encode())
    assert read_mark(written(tmp_path, buffer.getvalue())) == dataclasses.replace(mark, prompt="a {}")


def unmarked() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def damaged() -> bytes:
    mark = Mark(concept="owl", content="c" * 64, version=2, prompt="a {}", text="an owl", seed=7, index=1)
    whole = marked_png(Image.new("RGB", (64, 64)), mark)
    return whole.replace(b"<conceptbooth:seed>7</", b"<conceptbooth:seed>x</")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (unmarked(), "it is unmarked"),
        (b"no picture", "no picture that can be read"),
        (b"", "no picture that can be read"),
        (unmarked()[:-30], "no picture that can be read"),
        (damaged(), "no picture that can be read"),  # the chunk's checksum
        (None, "No such file"),
    ],
    ids=["unmarked", "text", "empty", "cut off", "altered", "missing"],
)
def test_what_says_nothing_is_refused_in_a_sentence(content: bytes | None, said: str, tmp_path: Path):
    file = written(tmp_path, content) if content is not None else tmp_path / "none.png"
    done = run("whence", file)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def written(folder: Path, content: bytes) -> Path:
    file = folder / "picture"
    file.write_bytes(content)
    return file

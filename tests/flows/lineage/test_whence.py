"""`conceptbooth whence` on pictures that `generate` made, and on others."""

import dataclasses
import io
import json
import os
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from model.marks.content_credentials import without_manifest
from model.marks.marking import Mark, marked_png, read_mark
from tests.certificates import write_key_and_certificates
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

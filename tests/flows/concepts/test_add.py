"""`conceptbooth add` and `conceptbooth list`, as a person types them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.project.settings import Settings
from tests.data_project import PARAMS, REPOSITORY, commit, git, make_project, photo, photos, tree

COMMAND = [str(Path(sys.executable).with_name("conceptbooth"))]
SMALLEST = 2_000  # bytes that a file may have on the disk that is made to be full


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")


def start(
    settings: Settings, *arguments: str | Path, home: Path | None = None, cwd: Path | None = None
) -> subprocess.Popen[str]:
    """The real command in a process of its own, in the project, with nothing of this test run in its environment."""
    own = ("CONCEPTBOOTH_", "DVC_", "PREFECT_", "MLFLOW_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    variables |= {"COLUMNS": "200"} | ({"HOME": str(home)} if home else {})
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd or settings.root,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(
    settings: Settings, *arguments: str | Path, home: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    process = start(settings, *arguments, home=home, cwd=cwd)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def test_add_list_and_commit(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    photos(tmp_path / "in", 3)
    done = run(settings, "add", "red-teapot", tmp_path / "in", "--category", "teapot", "--licence", "CC0", home=home)
    assert done.returncode == 0, done.stderr
    version = json.loads(run(settings, "list", "--json").stdout)[0]["data_version"]
    assert f"Added concept red-teapot: 3 images, data version {version[:8]}, in data/concepts/red-teapot" in done.stdout
    assert "conceptbooth train red-teapot" in done.stdout
    assert "hint: source, consent: not stated" in done.stderr
    assert list(home.rglob("*")) == [], "nothing in the home folder"
    new = git(settings.root, "status", "--porcelain", "--untracked-files=all").split("\n")
    assert sorted(line.removeprefix("?? data/concepts/red-teapot/") for line in new if line) == [
        ".gitignore",
        "concept.yaml",
        "images.dvc",
        "images.yaml",
    ]

    listed = run(settings, "list").stdout
    assert listed.splitlines()[1].split() == ["red-teapot", "teapot", "3", "stale,", "uncommitted"]
    commit(settings.root)
    assert "uncommitted" not in run(settings, "list").stdout

    shutil.rmtree(settings.concepts_dir / "red-teapot/images")
    shutil.rmtree(settings.home / "dvc/cache")
    (settings.concepts_dir / "broken").mkdir()
    done = run(settings, "list")
    assert done.returncode == 0
    assert [line.split()[0 :: len(line.split()) - 1] for line in done.stdout.splitlines()[1:]] == [
        ["broken", "broken"],
        ["red-teapot", "missing"],
    ]
    assert "missing: the images are not here yet: `dvc repro` makes" in done.stderr
    assert "data/concepts/broken/concept.yaml is missing" in done.stderr


def test_what_it_says_can_be_typed_in_the_folder_where_it_was_said(settings: Settings, tmp_path: Path) -> None:
    """Adding pictures of each kind that a person may bring: CMYK, 16 bits, a palette with transparency."""
    here = settings.root / "my photos"
    here.mkdir()
    photo(0).convert("CMYK").save(here / "print.tif")
    Image.fromarray(np.asarray(photo(1).convert("L")).astype(np.uint16) * 257).save(here / "deep.png")
    cut_out = photo(2).convert("RGBA")
    cut_out.paste((255, 0, 0, 0), (0, 0, 100, 100))
    cut_out.quantize(64).save(here / "sticker.png")

    done = run(settings, "add", "pot", ".", "--category", "teapot", cwd=here)

    assert done.returncode == 0, done.stderr
    (keep,) = (line.partition("keep it:")[2].strip() for line in done.stdout.splitlines() if "keep it:" in line)
    subprocess.run(keep.removesuffix(" && git commit"), shell=True, cwd=here, check=True)
    assert "data/concepts/pot/concept.yaml" in git(settings.root, "diff", "--cached", "--name-only")
    deep, printed, sticker = (Image.open(path) for path in sorted((settings.concepts_dir / "pot/images").iterdir()))
    assert {image.mode for image in (deep, printed, sticker)} == {"RGB"}
    np.testing.assert_array_equal(np.asarray(deep)[..., 0], np.asarray(photo(1).convert("L")))
    np.testing.assert_allclose(np.asarray(printed), np.asarray(photo(0)), atol=1)
    assert sticker.getpixel((50, 50)) == (255, 255, 255), "what was cut out lies over white"


def test_two_at_a_time(settings: Settings, tmp_path: Path) -> None:
    """DVC alone refuses the second of two commands in one project."""
    processes = [
        start(settings, "add", name, *photos(tmp_path / name, 3, first), "--category", "teapot", "--json")
        for name, first in (("one", 0), ("two", 10))
    ]
    for name, process in zip(("one", "two"), processes, strict=True):
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        added = json.loads(output)
        assert (added["name"], added["folder"], added["super_category"]) == (name, f"data/concepts/{name}", "teapot")
        originals = sorted(path.name for path in (tmp_path / name).iterdir())
        assert [image["original"] for image in added["images"]] == originals
    rows = json.loads(run(settings, "list", "--json").stdout)
    assert [(row["name"], row["images"], row["state"]) for row in rows] == [
        ("one", 3, "uncommitted"),
        ("two", 3, "uncommitted"),
    ]


def test_a_full_disk(settings: Settings, tmp_path: Path) -> None:
    """Files above a limit cannot be written, as on a disk that is full."""
    paths = photos(tmp_path / "in", 3)
    before = tree(settings.root)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({SMALLEST}, {SMALLEST}))"
    code = f"{limit}; import flows.cli.app; flows.cli.app.main()"
    command = [sys.executable, "-c", code, "add", "pot", *map(str, paths), "--category", "teapot"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=settings.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "concept 'pot': writing below" in done.stderr
    assert "the same command carries on once that is mended" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(settings.root) == before


# --- what bad input gets ---


def make_bad(folder: Path) -> dict[str, list[Path]]:
    """Bad images by what is bad about them; each comes with enough good ones where that is not the point."""
    good = photos(folder, 3)
    names = ("text.jpg", "cut.jpg", "empty.png", "bomb.png", "moving.gif", "copy.bmp", "small.png")
    made = {name: folder / name for name in names}
    made["text.jpg"].write_text("this is text")
    photo(4).save(made["cut.jpg"])
    made["cut.jpg"].write_bytes(made["cut.jpg"].read_bytes()[:-3000])
    made["empty.png"].touch()
    Image.new("1", (20000, 20000)).save(made["bomb.png"], compress_level=1)
    photo(4).save(made["moving.gif"], save_all=True, append_images=[photo(5)])
    photo(0).save(made["copy.bmp"])
    photo(6, 200, 300).save(made["small.png"])
    (folder / "nothing").mkdir()
    return {
        "no images": [folder / "nothing"],
        "one image": good[:1],
        "missing": [*good, folder / "nowhere.jpg"],
        **{path.name: [*good, path] for path in made.values()},
        "everything": [*good, *made.values()],
    }


SAID = {
    "no images": ["nothing: no image in this folder", "name one with 3 to 8"],
    "one image": ["1 usable image, at least 3 different ones are needed (3 to 8 are usual)"],
    "missing": ["nowhere.jpg: there is no such file; check its name"],
    "text.jpg": ["text.jpg: not an image, whatever its name says"],
    "cut.jpg": ["cut.jpg: damaged, cannot be decoded whole"],
    "empty.png": ["empty.png: empty, 0 bytes"],
    "bomb.png": ["bomb.png: 400,000,000 pixels are too many to decode safely, at most 80,000,000 are; scale"],
    "moving.gif": ["moving.gif: animated or of several pages (2 in one GIF)"],
    "copy.bmp": ["photo-0.png and ", "copy.bmp hold the same picture: keep one of them"],
    "small.png": ["small.png: 200 x 300 pixels, the short side must have at least 256"],
    "everything": [f"{name}: " for name in ("text.jpg", "cut.jpg", "empty.png", "bomb.png", "moving.gif", "small.png")],
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return make_bad(tmp_path_factory.mktemp("bad"))


Refused = Callable[..., str]


@pytest.fixture
def refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs an `add` that must be refused, in this process, and gives what it says on standard error."""
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the command line puts settings of libraries there

    def run_it(*arguments: str | Path, settings: Settings = settings) -> str:
        monkeypatch.chdir(settings.root)
        before = tree(settings.root)
        done = CliRunner().invoke(app, ["add", *map(str, arguments)])
        assert done.exit_code == 2, done.output
        assert done.stdout == ""
        assert "Traceback" not in done.stderr and "Warning" not in done.stderr
        assert tree(settings.root) == before, "nothing written"
        assert not settings.home.exists(), "not even our own bookkeeping"
        return done.stderr

    return run_it


@pytest.mark.parametrize("what", SAID)
def test_bad_images(refused: Refused, bad: dict[str, list[Path]], what: str) -> None:
    errors = refused("pot", *bad[what], "--category", "teapot")
    for part in SAID[what]:
        assert part in errors
    assert errors.count("error: ") == (0 if what == "everything" else 1)


@pytest.mark.parametrize("name", ["a/b", "..", "my pot", "Pot", "p" * 200, "🫖"])
def test_bad_names(refused: Refused, tmp_path: Path, name: str) -> None:
    errors = refused(name, *photos(tmp_path / "in"), "--category", "teapot")
    assert f"error: concept name '{name[:40]}" in errors
    assert "2 to 64 lowercase letters, digits, - and _ are needed, starting with a letter, such as '" in errors


def test_bad_names_and_images_are_reported_together(refused: Refused, bad: dict[str, list[Path]]) -> None:
    errors = refused("My Pot", *bad["text.jpg"], "--category", "")
    assert "3 problems, nothing was done:" in errors
    for part in ("concept name 'My Pot'", "--category is empty", "text.jpg: not an image"):
        assert part in errors


def test_problems_as_json(refused: Refused, bad: dict[str, list[Path]]) -> None:
    report = json.loads(refused("Pot", *bad["one image"], "--category", "teapot", "--json"))
    assert report["error"] == "input"
    assert len(report["problems"]) == 2


def test_a_super_category_that_the_base_does_not_know(refused: Refused, tmp_path: Path) -> None:
    """The embedded base says which words it knows; its own 64 pixels are enough for it."""
    params = "base: toyworld/base\n" + PARAMS.split("\n", 2)[2]
    settings = make_project(tmp_path / "embedded", params)
    (settings.root / "toyworld").mkdir()
    (settings.root / "toyworld/base").symlink_to(REPOSITORY / "toyworld/base")
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        photo(i, 80, 64).save(path)
    errors = refused("pot", *paths, "--category", "zxqvw", settings=settings)
    assert "super-category 'zxqvw': the base does not know 'zxqvw'" in errors
    assert "warning: 3 of these 3 images are none of the toy world" in errors
    photo(9, 80, 63).save(paths[0])
    errors = refused("pot", *paths, "--category", "teddy bear", settings=settings)
    assert "80 x 63 pixels, the short side must have at least 64" in errors

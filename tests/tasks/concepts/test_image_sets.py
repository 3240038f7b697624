"""Image sets: the same hashes as the installed DVC, read without it, and what happens when parts are missing."""

import configparser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_sets import ImagesMissing, git_state, image_set, local_images
from tasks.dvc.command import dvc_add, make_samples, run_dvc
from tasks.dvc.folder_hash import IGNORED_NAMES, folder_digest, folder_files, path_digest
from tasks.dvc.samples import sample_is_current
from tasks.files.yaml_files import read_yaml
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tests.data_project import REPOSITORY, commit, git, make_project, photos
from toyworld import samples

CONCEPT = "super_category: teapot\nlicence: MIT\nsource: the kitchen\nconsent: its owner\n"
SAMPLES = """\
stages:
  samples:
    foreach: ${samples}
    do:
      cmd: python make.py data/concepts/${item}/images
      deps:
        - make.py
      outs:
        - data/concepts/${item}/images
"""


def put(settings: Settings, name: str, count: int = 3) -> Path:
    folder = settings.concepts_dir / name
    photos(folder / "images", count)
    (folder / "concept.yaml").write_text(CONCEPT)
    return folder


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project in which DVC holds one concept, with every kind of name that might sort or be left out differently."""
    settings = make_project(tmp_path_factory.mktemp("added"))
    images = put(settings, "pot") / "images"
    for name in ("10.png", "9.png", "B.png", "a.png", "é.png", "a/b.png", "a-b.png", "a/.hidden.png"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(name.encode())
    for name in (".DS_Store", "a/Thumbs.db", "._a.png", "desktop.ini"):
        (images / name).write_bytes(b"left by a file manager")
    dvc_add(settings, images)
    return settings


@pytest.fixture
def project(added: Settings, tmp_path: Path) -> Settings:
    """A copy of that project, to be changed."""
    shutil.copytree(added.root, tmp_path / "project", symlinks=True)
    return Settings(root=tmp_path / "project")


def test_the_hash_is_that_of_dvc(added: Settings) -> None:
    record = read_yaml(added.concepts_dir / "pot/images.dvc", "images.dvc")["outs"][0]
    images = image_set(added, load_concept(added, "pot"))
    assert images.digest == record["md5"]
    assert len(images.files) == record["nfiles"] == 11
    assert sum(file.size for file in images.files) == record["size"]
    listing = added.home / f"dvc/cache/files/md5/{images.digest[:2]}/{images.digest[2:]}"
    assert [file.relpath for file in images.files] == [entry["relpath"] for entry in json.loads(listing.read_text())]


def test_dvc_leaves_out_the_same_names(added: Settings) -> None:
    assert set(IGNORED_NAMES) <= set((REPOSITORY / ".dvcignore").read_text().splitlines())
    images = added.concepts_dir / "pot/images"
    assert (images / ".DS_Store").exists()
    assert not {".DS_Store", "a/Thumbs.db"} & {file.relpath for file in folder_files(images)}


def test_the_states_of_an_image_set(project: Settings) -> None:
    concept = load_concept(project, "pot")
    before = git_state(project).commit
    images = image_set(project, concept)
    assert (images.state, images.dirty, images.git_commit) == ("uncommitted", True, before)

    after = commit(project.root)
    images = image_set(project, concept)
    assert (images.state, images.dirty, images.git_commit) == ("committed", False, after)
    assert after != before

    (concept.images / "9.png").write_bytes(b"another picture")
    changed = image_set(project, concept)
    assert (changed.state, changed.dirty, changed.git_commit) == ("changed", True, after)
    assert changed.digest != images.digest

    (project.concepts_dir / "pot/images.dvc").unlink()
    assert image_set(project, concept).state == "untracked"


def test_a_record_that_git_ignores_is_not_committed(project: Settings) -> None:
    (project.root / ".gitignore").write_text(".conceptbooth/\ndata/concepts/pot/\n")
    commit(project.root)
    assert image_set(project, load_concept(project, "pot")).state == "uncommitted"


def test_an_edited_record_is_not_committed(project: Settings) -> None:
    commit(project.root)
    concept = load_concept(project, "pot")
    (concept.images / "9.png").write_bytes(b"another picture")
    record = concept.folder / "images.dvc"
    digest = folder_digest(folder_files(concept.images))
    record.write_text(record.read_text().replace(image_set_digest(record), digest))
    assert image_set(project, concept).state == "uncommitted"


def image_set_digest(record: Path) -> str:
    return str(read_yaml(record, "images.dvc")["outs"][0]["md5"])


def test_outside_git_nothing_is_committed(project: Settings) -> None:
    shutil.rmtree(project.root / ".git")
    images = image_set(project, load_concept(project, "pot"))
    assert (images.state, images.git_commit) == ("uncommitted", None)


def test_one_look_at_git_serves_many_concepts(project: Settings) -> None:
    put(project, "cup")
    commit(project.root)
    state = git_state(project)
    (project.root / "data/concepts/pot/images.dvc").write_text("changed")
    assert state.records(project.concepts_dir / "pot/images.dvc")
    assert not git_state(project).records(project.concepts_dir / "pot/images.dvc")
    assert git_state(project).records(project.concepts_dir / "cup/concept.yaml")


def test_a_missing_folder_is_fetched_from_the_cache(project: Settings) -> None:
    concept = load_concept(project, "pot")
    before = image_set(project, concept)
    wanted = {file.relpath: (concept.images / file.relpath).read_bytes() for file in before.files}
    shutil.rmtree(concept.images)
    assert image_set(project, concept) == before
    paths = local_images(project, concept, before)
    assert {name: path.read_bytes() for name, path in paths.items()} == wanted
    assert list(paths) == [file.relpath for file in before.files]
    assert all(path.name == Path(name).name for name, path in paths.items()), "an error names it as people know it"
    assert not concept.images.exists() and not list((project.home / "images/unfinished").iterdir())


def test_a_damaged_cache_is_found_and_nothing_is_put_in_place(project: Settings) -> None:
    concept = load_concept(project, "pot")
    images = image_set(project, concept)
    shutil.rmtree(concept.images)
    broken = project.home / f"dvc/cache/files/md5/{images.files[4].md5[:2]}/{images.files[4].md5[2:]}"
    broken.chmod(0o644)
    broken.write_bytes(b"rotten")
    with pytest.raises(WorkFailed, match=rf"concept 'pot': {images.files[4].relpath} .* damaged in DVC's cache"):
        local_images(project, concept, images)
    assert not list((project.home / "images").glob("*.dir")) and not list(
        (project.home / "images/unfinished").iterdir()
    )


@pytest.mark.parametrize("lost", ["one file", "everything"])
def test_neither_folder_nor_cache(project: Settings, lost: str) -> None:
    concept = load_concept(project, "pot")
    images = image_set(project, concept)
    shutil.rmtree(concept.images)
    md5 = images.files[0].md5
    cache = project.home / "dvc/cache"
    shutil.rmtree(cache) if lost == "everything" else (cache / f"files/md5/{md5[:2]}/{md5[2:]}").unlink()
    with pytest.raises(InputError) as caught:
        image_set(project, concept)
    (problem,) = caught.value.problems
    assert problem.startswith("concept 'pot': no images, data/concepts/pot/images is missing and DVC's cache lacks")
    assert f"{images.digest[:8]} of data/concepts/pot/images.dvc" in problem and "names no default remote" in problem
    assert "`dvc pull`" in problem


def test_no_images_and_no_record(project: Settings) -> None:
    put(project, "cup", count=0)
    concept = load_concept(project, "cup")
    with pytest.raises(InputError, match="concept 'cup': no images in data/concepts/cup/images"):
        image_set(project, concept)
    concept.images.rmdir()
    with pytest.raises(InputError, match="is missing and DVC has no record of it; if it is a bundled sample"):
        image_set(project, concept)


def test_images_that_changed_since_they_were_looked_at(project: Settings) -> None:
    concept = load_concept(project, "pot")
    images = image_set(project, concept)
    (concept.images / "9.png").write_bytes(b"another picture")
    with pytest.raises(WorkFailed, match=f"its images changed meanwhile, from data version {images.digest[:8]} to "):
        local_images(project, concept, images)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("outs: [{md5: 123abc, path: images}]", "md5 = '123abc' is no hash of a folder"),
        (f"outs: [{{md5: {'a' * 32}, path: images}}]", "is no hash of a folder"),
        (f"outs: [{{md5: {'a' * 32}.dir, path: other}}]", "no single entry for images under outs"),
        ("outs: 3", "no single entry for images under outs"),
        ("- outs", "no single entry for images under outs"),
        ("outs: [", "line 2, column 1"),
        ("<<<<<<< HEAD\nouts: []\n", "line 2"),
    ],
)
def test_a_record_edited_by_hand(project: Settings, content: str, said: str) -> None:
    (project.concepts_dir / "pot/images.dvc").write_text(content + "\n")
    with pytest.raises(InputError) as caught:
        image_set(project, load_concept(project, "pot"))
    (problem,) = caught.value.problems
    assert problem.startswith("data/concepts/pot/images.dvc: ")
    assert said in problem


def test_samples_are_made_by_dvc_and_read_from_its_lock_file(tmp_path: Path) -> None:
    settings = make_project(tmp_path / "project")
    (settings.root / "dvc.yaml").write_text(SAMPLES)
    with (settings.root / "params.yaml").open("a") as params:
        params.write("samples: [pot, cup]\n")
    maker = (
        "import sys, pathlib\nfolder = pathlib.Path(sys.argv[1])\nfolder.mkdir()\n(folder / '00.png').write_text('0')\n"
    )
    (settings.root / "make.py").write_text(maker)
    for name in ("pot", "cup"):
        (settings.concepts_dir / name).mkdir()
        (settings.concepts_dir / name / "concept.yaml").write_text(CONCEPT)
    concept = load_concept(settings, "pot")
    with pytest.raises(InputError, match="if it is a bundled sample make it with `conceptbooth demo` or `dvc repro`"):
        image_set(settings, concept)
    assert not sample_is_current(settings, "pot")

    make_samples(settings, ["pot"])
    assert sample_is_current(settings, "pot")
    assert not sample_is_current(settings, "cup")
    assert image_set(settings, concept).state == "uncommitted"
    commit(settings.root)
    assert image_set(settings, concept).state == "committed"
    assert git(settings.root, "status", "--porcelain") == ""

    (settings.root / "make.py").write_text(maker.replace("'0'", "'1'"))
    assert not sample_is_current(settings, "pot")
    (settings.root / "make.py").write_text(maker)
    (concept.images / "00.png").write_text("changed")
    assert not sample_is_current(settings, "pot")
    shutil.rmtree(concept.images)
    assert not sample_is_current(settings, "pot")
    shutil.rmtree(settings.home / "dvc/cache")  # as in a fresh clone
    with pytest.raises(ImagesMissing, match=r"not made yet; `dvc repro` makes them, .* `conceptbooth train pot` does"):
        image_set(settings, concept)


def test_no_setting_of_dvc_depends_on_the_folder_where_it_is_called() -> None:
    """DVC takes this one as it stands: a relative path would mean another folder wherever a person types `dvc`."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / ".dvc/config")
    assert not config.has_option("core", "site_cache_dir")


def test_dvc_failing_is_told_in_its_words(project: Settings) -> None:
    with pytest.raises(WorkFailed, match=r"`dvc add nowhere` failed: .*nowhere.*does not exist"):
        run_dvc(project, "add", "nowhere")


@pytest.mark.parametrize("name", load_params(REPOSITORY / "params.yaml").samples)
def test_the_lock_file_says_what_the_samples_are_made_from_and_what_comes_out(name: str, tmp_path: Path) -> None:
    """A change of the renderer without `dvc repro` would leave every newcomer's work tree changed after the demo."""
    stage = read_yaml(REPOSITORY / "dvc.lock", "dvc.lock")["stages"][f"samples@{name}"]
    for part in stage["deps"]:
        assert path_digest(REPOSITORY / part["path"]) == part["md5"], (
            f"{part['path']} changed: run `dvc repro` and commit dvc.lock"
        )
    samples.write(name, tmp_path)
    assert folder_digest(folder_files(tmp_path)) == stage["outs"][0]["md5"], "the renderer's bytes differ"


def test_reading_takes_no_dvc(project: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from tasks.project.settings import Settings\n"
        "from flows.concepts.overview import overview\n"
        f"assert overview(Settings(root=Path({str(project.root)!r}))).rows[0].images == 11\n"
        "heavy = {'dvc', 'numpy', 'torch', 'mlflow', 'prefect', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

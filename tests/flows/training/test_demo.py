"""`conceptbooth demo`: what it refuses, and the samples that `train` makes too; that it works a fresh clone shows."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.app import app
from flows.training.train import run_training
from model.errors import InputError
from tasks.dvc.command import make_samples
from tasks.jobs.jobs import plan_jobs
from tasks.upkeep.gc import clear_up
from tests.data_project import commit, git
from tests.training_project import write_concept, write_params

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("demo: rose-backpack", "concept 'rose-backpack': there is none"),
        ("demo: null", "demo = null; write one of rose-backpack, mint-teddy, plum-turtle"),
        ("demo: nobody", "demo = 'nobody'; write one of rose-backpack, mint-teddy, plum-turtle"),
    ],
)
def test_a_demo_without_its_concept_is_refused(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    assert "\ndemo: rose-backpack\n" in text
    (tmp_path / "params.yaml").write_text(text.replace("\ndemo: rose-backpack\n", f"\n{line}\n"), encoding="utf-8")
    monkeypatch.setattr(os, "environ", os.environ.copy())  # what a command sets must not reach the next test
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["demo"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / ".conceptbooth").exists()


def test_train_makes_a_sample_once_nothing_else_is_wrong(project, prefect_url, tmp_path: Path) -> None:
    settings = project.model_copy(update={"prefect_api_url": prefect_url})
    folder, drawn = settings.concepts_dir / "turtle", tmp_path / "drawn"
    (folder / "images").rename(drawn)
    (settings.root / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copyfile(PARAMS.parent / name, settings.root / name)
    images = "data/concepts/${item}/images"
    stage = {"foreach": "${samples}", "do": {"cmd": f"cp -r {drawn} {images}", "outs": [images]}}
    (settings.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"samples": stage}}))
    write_params(settings.root, samples=["turtle"])
    write_concept(folder, super_category="xqzzy")  # so that nothing is trained
    git(settings.root, "init", "--quiet")
    commit(settings.root)
    with pytest.raises(InputError, match="'nobody'"):
        run_training(settings, ["turtle", "nobody"])
    assert not (folder / "images").exists()
    with pytest.raises(InputError, match="'xqzzy'"):
        run_training(settings, ["turtle"])
    assert len(list((folder / "images").iterdir())) == len(list(drawn.iterdir())) == 5


@pytest.fixture
def fresh_clone(project, prefect_url, tmp_path: Path):
    """The project as cloned: its one concept is a sample whose images dvc.lock knows and nobody has made here."""
    settings = project.model_copy(update={"prefect_api_url": prefect_url})
    folder, drawn = settings.concepts_dir / "turtle", tmp_path / "drawn"
    (folder / "images").rename(drawn)
    (settings.root / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copyfile(PARAMS.parent / name, settings.root / name)
    images = "data/concepts/${item}/images"
    stage = {"foreach": "${samples}", "do": {"cmd": f"cp -r {drawn} {images}", "outs": [images]}}
    (settings.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"samples": stage}}))
    write_params(settings.root, samples=["turtle"])
    git(settings.root, "init", "--quiet")
    make_samples(settings, ["turtle"])
    commit(settings.root)
    shutil.rmtree(folder / "images")
    shutil.rmtree(settings.home / "dvc")
    return settings


def test_a_night_in_a_fresh_clone_makes_the_samples(fresh_clone, monkeypatch: pytest.MonkeyPatch) -> None:
    write_concept(fresh_clone.concepts_dir / "turtle", super_category="xqzzy")  # so that nothing is trained
    monkeypatch.chdir(fresh_clone.root)
    monkeypatch.setenv("PREFECT_API_URL", fresh_clone.prefect_api_url)
    done = CliRunner().invoke(app, ["nightly", "--now", "--json"], env={"COLUMNS": "200"})
    assert "not made yet" not in done.output
    assert len(list((fresh_clone.concepts_dir / "turtle/images").iterdir())) == 5


def test_what_a_fresh_clone_needs_is_told_by_its_records(fresh_clone) -> None:
    (job,) = clear_up(fresh_clone, dry_run=True, on_wait=lambda: None).jobs
    make_samples(fresh_clone, ["turtle"])
    (made,) = plan_jobs(fresh_clone, ["turtle"])
    assert [plan.key for plan in job.stages] == [plan.key for plan in made.stages]


def test_a_project_from_a_zip_is_told_to_begin_a_repository(fresh_clone) -> None:
    shutil.rmtree(fresh_clone.root / ".git")
    with pytest.raises(InputError, match=r"is in no git repository, which a ZIP of a project is not.*`git init"):
        run_training(fresh_clone, ["turtle"])
    (fresh_clone.root / ".dvc/config").write_text("[core]\nno_scm = true\n[cache]\ndir = ../.conceptbooth/dvc/cache\n")
    make_samples(fresh_clone, ["turtle"])
    assert (fresh_clone.concepts_dir / "turtle/images").is_dir()

"""`list`, `plan` and `doctor` of many concepts: equal rows are one, what matters comes last."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.synthetic import make_project, train_everything
from flows.cli.app import app
from tasks.production.ledger import Promotion, append
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tests.tasks.finished_training import migrated_database

MANY = 26


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_project(tmp_path_factory.mktemp("many") / "project", MANY)
    database = settings.home / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(migrated_database(), database)
    train_everything(settings)
    return settings


@pytest.fixture
def project(original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Five are stale by one cause, one by none of theirs has no images, one serves."""
    shutil.copytree(original.root, tmp_path / "project", symlinks=True)
    settings = Settings(root=tmp_path / "project")
    for number in range(5):
        file = settings.concepts_dir / f"concept-{number:04}" / "concept.yaml"
        file.write_text(file.read_text().replace("super_category: turtle", "super_category: frog"))
    shutil.rmtree(settings.concepts_dir / "concept-0007" / "images")
    facts = {"concept": "concept-0009", "model": "m", "by": "somebody", "at": "2026-11-23T21:00:00+00:00"}
    record = Promotion(
        seq=1, action="promote", version=1, content="c", release="r", production_version=1, previous=None, **facts
    )
    assert append(open_production(settings), record)
    monkeypatch.chdir(settings.root)
    return settings


def run(*arguments: str, columns: int = 200) -> Result:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": str(columns)})
    assert "Traceback" not in done.output
    return done


def test_a_long_list_is_folded_and_ends_with_what_matters(project: Settings) -> None:
    done = run("list")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("20 up to date: concept-0005, concept-0006, concept-0008")
    assert [line.split()[0] for line in lines[2:]] == [*(f"concept-{n:04}" for n in range(5)), "concept-0007"]
    said = "frog 5 stale, images out of order 1 0.70 0.70 2026-01-01"
    assert " ".join(lines[2].split()[1:]) == said
    assert "26 concepts: 20 up to date, 5 to train, 1 cannot be trained, 1 in production" in done.stderr
    whole = run("list", "--all").stdout.splitlines()
    assert len(whole) == MANY + 1
    assert "concept-0007" in whole[-1]


def test_the_list_is_whole_in_a_terminal_of_80_characters(project: Settings) -> None:
    lines = run("list", "--all", columns=80).stdout.splitlines()
    row = next(line for line in lines if line.startswith("concept-0001"))
    assert row.split()[:4] == ["concept-0001", "frog", "5", "stale,"]
    assert row.split()[-4:] == ["1", "0.70", "0.70", "2026-01-01"]
    assert not any("…" in line for line in lines)


def test_the_list_is_filtered(project: Settings) -> None:
    def named(*options: str) -> list[str]:
        return [row["name"] for row in json.loads(run("list", *options, "--json").stdout)]

    assert len(named()) == MANY, "JSON has every row"
    assert named("--stale") == [f"concept-{n:04}" for n in range(5)]
    assert named("--failed") == ["concept-0007"]
    assert named("--serving") == ["concept-0009"]
    assert named("--category", "FROG") == named("--stale")
    assert named("--category", "frog", "--serving") == []
    assert "5 of 26 concepts: 5 to train" in run("list", "--stale").stderr
    (row,) = json.loads(run("list", "--serving", "--json").stdout)
    wanted = {"training": "up to date", "version": 1, "candidate": 1, "champion": 1, "clip_i": 0.7, "clip_t": 0.7}
    assert {name: row[name] for name in wanted} == wanted


def test_a_plan_says_equal_things_once(project: Settings) -> None:
    done = run("plan")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("20 up to date: concept-0005, concept-0006, concept-0008")
    assert "5 concepts  stage 1" in done.stdout
    assert "concept-0000, concept-0001, concept-0002, concept-0003, concept-0004" in done.stdout
    assert "concept 'concept-0007': no images" in lines[-1]
    assert "20 concepts with images without an entry" not in done.stderr
    assert "25 concepts with images without an entry in images.yaml" in done.stderr
    assert len(json.loads(run("plan", "--json").stdout)["concepts"]) == MANY


def test_the_doctor_says_equal_things_once(project: Settings) -> None:
    shown = [line.split(maxsplit=2) for line in run("doctor").stdout.splitlines()]
    concepts = {tuple(line[:2]): line[2] for line in shown if len(line) == 3 and line[0] in ("ok", "note")}
    assert concepts["note", "concepts"].startswith("25 with images without an entry in images.yaml: concept-0000")
    states = [line[0] for line in shown if line and line[0] in ("ok", "note", "problem")]
    assert states == sorted(states, key=["ok", "note", "problem"].index)
    findings = json.loads(run("doctor", "--json").stdout)["findings"]
    assert sum(finding["what"].startswith("concept ") for finding in findings) == MANY


def test_without_params_the_concepts_are_listed_all_the_same(project: Settings) -> None:
    project.params_file.write_text("method: none\n")
    done = run("list", "--category", "frog")
    assert done.exit_code == 0
    assert done.stdout.count("frog") == 5
    assert "warning: not known: what is up to date" in done.stderr

"""Storage grows with changes, not with nights; and what is superseded and unregistered goes, and nothing else."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.training.train import run_training
from tasks.jobs.jobs import plan_jobs
from tasks.plan.last_training import last_training_path
from tasks.project.settings import Settings, load_settings
from tasks.registry.store_records import address_of, record_paths, registry_id
from tasks.store.store import Inventory, open_store
from tasks.tracking.client import connect
from tasks.upkeep.garbage import DAY
from tests.training_project import make_training_project, write_params

MODELS = {"base", "evaluator", "identity_model"}
STAGES = ("train-1-embedding", "train-2-cross_attention", "train-3-unet")


@pytest.fixture(scope="module")
def settings(tmp_path_factory, base_folder, evaluator_folder, prefect_url) -> Settings:
    root = tmp_path_factory.mktemp("gc") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    return Settings(root=root, prefect_api_url=prefect_url)


@pytest.fixture(autouse=True)
def _inside(settings, monkeypatch) -> None:
    monkeypatch.chdir(settings.root)
    monkeypatch.setenv("PREFECT_API_URL", settings.prefect_api_url)


def night(settings: Settings) -> Inventory:
    (outcome,) = run_training(settings, ["turtle"])
    assert outcome.error is None, outcome.error
    return open_store(settings).inventory()


def places(settings: Settings) -> set[tuple[str, str]]:
    (job,) = plan_jobs(settings, ["turtle"])
    return {(plan.stage, plan.key) for plan in job.stages}


def models(settings: Settings) -> set[tuple[str, str]]:
    """The base and what measures, which the store keeps as long as anything stands on them."""
    (job,) = plan_jobs(settings, ["turtle"])
    return {(kind, model.digest) for kind, model in job.recipe.models.items()}


def age(settings: Settings, days: float) -> None:
    """Let everything in the store have been written so long ago."""
    for path in Path(open_store(settings).address).rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * DAY
            os.utime(path, (then, then))


def gc(*options: str) -> dict:
    result = CliRunner().invoke(app, ["gc", "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["gc", "--json", *options])
    return result.exit_code, " ".join(json.loads(result.stderr)["problems"])


def removed(answer: dict) -> set[tuple[str, str]]:
    return {(artefact["stage"], artefact["key"]) for artefact in answer["artefacts"]}


def named(settings: Settings, artefacts: set[tuple[str, str]]) -> set[str]:
    """Hashes of the artefacts' contents."""
    found = open_store(settings).read_all(artefacts)
    return {record.sha256 for manifest in found.values() for record in manifest.files.values()}


@pytest.fixture(scope="module")
def grown(settings) -> tuple[Inventory, Inventory, set[tuple[str, str]]]:
    """The store after three nights without a change, after one with another learning rate, and the first's places."""
    first = night(settings)
    again, once_more = night(settings), night(settings)
    assert again.manifests.keys() == once_more.manifests.keys() == first.manifests.keys()
    assert again.contents == once_more.contents == first.contents
    before = places(settings)
    assert first.manifests.keys() == before | models(settings)
    write_params(settings.root, unet={"learning_rate": 1e-5})
    return first, night(settings), before


@pytest.fixture
def copy(settings, grown, tmp_path, monkeypatch) -> Settings:
    """A copy of the project a month later, with a plan that has another last stage, and nothing registered."""
    root = tmp_path / "copy"
    shutil.copytree(settings.root, root, symlinks=True)
    (root / "conceptbooth.toml").write_text(f'mlflow_artifact_root = "{settings.mlflow_artifact_root}"\n')
    monkeypatch.chdir(root)
    copy = load_settings(root)
    client = connect(copy)
    for version in client.search_model_versions("name = 'concept.turtle'"):
        client.delete_model_version("concept.turtle", version.version)
    write_params(root, unet={"learning_rate": 3e-5})
    age(copy, 30)
    return copy


def test_the_store_grows_with_changes_and_not_with_nights(settings, grown):
    first, second, before = grown
    new = second.manifests.keys() - first.manifests.keys()
    assert new == places(settings) - before
    assert {stage for stage, _ in new} == {STAGES[2], "evaluate", "gallery"}
    assert second.contents.keys() - first.contents.keys() <= named(settings, new)
    assert second.contents.keys() >= first.contents.keys()


def test_only_what_is_superseded_and_unregistered_goes(settings, grown):
    _, second, before = grown
    superseded = before - places(settings)
    assert removed(gc()) == set()  # made a moment ago
    age(settings, 30)
    assert removed(gc()) == set()  # both versions are registered
    connect(settings).delete_model_version("concept.turtle", "1")

    asked = gc("--dry-run")
    assert removed(asked) == superseded
    own = named(settings, superseded) - named(settings, places(settings))
    assert asked["contents"] == {"files": len(own), "bytes": sum(second.contents[sha256].size for sha256 in own)}
    assert {artefact["why"] for artefact in asked["artefacts"]} == {"superseded"}
    assert open_store(settings).inventory().manifests.keys() == second.manifests.keys()

    done = gc()
    assert done == asked | {"dry_run": False, "artefacts": done["artefacts"]} and removed(done) == superseded
    left = open_store(settings).inventory()
    stays = places(settings) | models(settings)
    assert left.manifests.keys() == stays
    assert left.contents.keys() == second.contents.keys() - own == named(settings, stays)
    assert night(settings).contents.keys() == left.contents.keys()
    assert removed(gc()) == set()


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        (lambda root: (root / "data/concepts/turtle/concept.yaml").unlink(), 2, "concept.yaml is missing"),
        (lambda root: (root / ".conceptbooth/mlflow/mlflow.db").unlink(), 2, "MLflow's database"),
        (lambda root: (root / ".conceptbooth/mlflow/mlflow.db").write_bytes(b"no database" * 99), 1, "not a database"),
        (lambda root: (root / "params.yaml").write_text("method: none"), 2, "params.yaml"),
    ],
)
def test_nothing_goes_where_somebody_cannot_be_asked(copy, harm, code, said):
    harm(copy.root)
    before = open_store(copy).inventory()
    exit_code, problems = refused()
    assert (exit_code, said in problems) == (code, True), problems
    assert open_store(copy).inventory() == before


def test_a_concept_that_is_gone_is_kept_until_it_is_forgotten(copy, settings):
    assert refused("--forget", "turtle") == (
        2,
        "--forget turtle: it is a concept of this project; what its plan needs stays as long as it is there",
    )
    shutil.rmtree(copy.root / "data/concepts/turtle")
    kept = gc()
    assert len(kept["artefacts"]) == 0 and kept["kept"]["concepts_of_other_projects"] == ["turtle"]
    (other,) = kept["kept"]["other_registries"]  # that of the project that this one was copied from
    told = record_paths(open_store(settings), settings)  # two records a version
    assert (other["address"], 2 * other["versions"]) == (address_of(settings), len(told))
    assert refused("--forget", "rabbit") == (
        2,
        "--forget rabbit: the store has no record of a concept of that name; others on record: turtle",
    )
    gone = gc("--forget", "turtle", "--forget-registry", other["id"])["artefacts"]
    assert {artefact["why"] for artefact in gone if artefact["concept"]} == {"not a concept of this project"}
    assert len(gone) == 9 and {artefact["stage"] for artefact in gone if not artefact["concept"]} == MODELS
    left = open_store(copy).inventory()
    assert not left.manifests and not left.contents
    assert open_store(copy).records("concepts/") == open_store(copy).records("registries/") == []


def test_it_says_what_goes_and_why_in_words(copy, settings):
    open_store(copy).delete_record(last_training_path("turtle"))
    name = registry_id(settings)
    result = CliRunner().invoke(app, ["gc"], env={"COLUMNS": "120"})
    assert "0 artefacts" in result.stdout
    assert f"what other projects have registered: {name} ({address_of(settings)}): " in result.stderr
    result = CliRunner().invoke(app, ["gc", "--forget-registry", name], env={"COLUMNS": "120"})
    said = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "turtle evaluate, gallery, stage 3 30 days" in said and "superseded" in said
    assert "models evaluator, identity model" in said and "nothing stands on it" in said
    assert "5 artefacts" in said and "would be" not in said
    assert "4 in today's plan" in " ".join(result.stderr.split())
    assert {stage for stage, _ in open_store(copy).inventory().manifests} == {"prepare", "base", *STAGES[:2]}

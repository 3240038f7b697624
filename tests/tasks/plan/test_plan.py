"""What a plan makes of the store and the registry: what is missing there is found without opening an artefact."""

import json
import sqlite3
from pathlib import Path

import pytest

from flows.night.plan import run_plan
from model.errors import InputError
from tasks.jobs.jobs import Job, plan_jobs
from tasks.plan.failures import forget_failures, note_failure
from tasks.plan.last_training import last_training_of, last_training_path, write_last_training
from tasks.plan.plan import ConceptPlan, make_plan
from tasks.project.settings import Settings
from tasks.registry.all_versions import RegistryUnknown, registered_versions
from tasks.registry.reference import CANDIDATE
from tasks.registry.store_records import record_paths
from tasks.registry.training_facts import SCORE_NAMES
from tasks.registry.versions import model_name
from tasks.store.manifest import Facts, Manifest
from tasks.store.store import Store, open_store
from tasks.tracking.client import connect
from tests.data_project import photo
from tests.training_project import add_concept, make_training_project, write_concept, write_params

SCORES = {name: {"mean": 0.5, "low": 0.4, "high": 0.6} for name in SCORE_NAMES}


def published(store: Store, job: Job, folder: Path) -> dict[str, Manifest]:
    """Artefacts with the keys of a job and made-up contents."""
    manifests = {}
    for plan in job.stages:
        (folder / plan.stage).mkdir(parents=True)
        (folder / plan.stage / "concept.safetensors").write_text(plan.key)
        if plan.kind == "evaluate":
            (folder / plan.stage / "scores.json").write_text(json.dumps(SCORES | {"prompts": []}))
        facts = {name: getattr(plan, name) for name in ("stage", "key", "parameters", "code", "packages", "seed")}
        manifests[plan.stage] = store.publish(
            folder / plan.stage,
            Facts(**facts, inputs=(), numeric_policy=plan.numeric_policy, device="cpu", wall_seconds=1.0),
        )
    return manifests


def finished(settings: Settings, folder: Path, number: int = 1) -> Settings:
    """Have `turtle` trained and on record, and registered by hand as this version."""
    (job,) = plan_jobs(settings, ["turtle"])
    store = open_store(settings)
    record = last_training_of(job, published(store, job, folder), number, SCORES)
    write_last_training(store, settings, record)
    client = connect(settings)
    if number == 1:
        client.create_registered_model(model_name("turtle"))
    tags = {"conceptbooth.key": record.content, "conceptbooth.stage.gallery": job.stages[-1].key}
    client.create_model_version(model_name("turtle"), source=str(folder), tags=tags)
    client.set_registered_model_alias(model_name("turtle"), CANDIDATE, str(number))
    return settings


@pytest.fixture
def trained(project: Settings, tmp_path: Path) -> Settings:
    """The project with one version."""
    return finished(project, tmp_path / "made")


def plan_of(settings: Settings, name: str = "turtle") -> ConceptPlan:
    (planned,) = make_plan(settings, [name]).concepts
    return planned


def content_of(settings: Settings, stage: str) -> Path:
    (job,) = plan_jobs(settings, ["turtle"])
    store, key = open_store(settings), next(plan.key for plan in job.stages if plan.stage == stage)
    return Path(store.content_address(store.get(stage, key).files["concept.safetensors"].sha256))


def test_what_is_all_there_is_up_to_date(trained):
    planned = plan_of(trained)
    assert (planned.state, planned.causes, planned.runs) == ("up to date", (), ())
    assert planned.version is not None and planned.version.version == 1


def test_a_missing_artefact_is_named_and_made_alone(trained):
    (job,) = plan_jobs(trained, ["turtle"])
    Path(open_store(trained).manifest_address(job.stages[2].stage, job.stages[2].key)).unlink()
    planned = plan_of(trained)
    assert planned.causes == ("artefact of stage 2 missing",)
    assert planned.runs == ("train-2-cross_attention", "register")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: (path.chmod(0o644), path.write_text("cut"))])
def test_a_missing_or_cut_file_is_named(trained, harm):
    harm(content_of(trained, "train-3-unet"))
    planned = plan_of(trained)
    assert planned.causes == ("artefact of stage 3 damaged: concept.safetensors missing or cut short",)
    assert planned.runs == ("train-3-unet", "register")


def test_without_a_record_the_manifests_tell(trained):
    store = open_store(trained)
    for path in (last_training_path("turtle"), *record_paths(store, trained)):
        store.delete_record(path)
    assert plan_of(trained).state == "up to date"
    content_of(trained, "gallery").unlink()
    assert plan_of(trained).runs == ("gallery", "register")


def test_a_change_runs_from_its_stage_on_and_back_again_only_registers(trained, tmp_path):
    write_params(trained.root, unet={"max_train_steps": 3})
    planned = plan_of(trained)
    assert planned.causes == ("stage 3: max_train_steps 2 -> 3",)
    assert planned.runs == ("train-3-unet", "evaluate", "gallery", "register")
    finished(trained, tmp_path / "changed", 2)
    assert plan_of(trained).state == "up to date"
    write_params(trained.root)
    back = plan_of(trained)
    assert back.causes == ("stage 3: max_train_steps 3 -> 2", "alias 'candidate' names version 2, not version 1")
    assert back.runs == ("register",)


def test_two_projects_with_a_concept_of_one_name_in_one_store_settle_and_explain_themselves(
    trained, tmp_path, base_folder, evaluator_folder
):
    root = tmp_path / "theirs"
    theirs = make_training_project(root, base_folder, evaluator_folder).model_copy(update={"store": trained.store})
    photo(99, 48, 48).save(root / "data/concepts/turtle/images/02.png")
    assert plan_of(theirs).causes == ("never trained",)
    store, each = open_store(theirs), (trained, theirs)
    for settings in each:  # in one night
        note_failure(store, *plan_jobs(settings, ["turtle"]), f"failed in {settings.root}", None)
    assert [plan_of(settings).failures.cause for settings in each] == [f"failed in {s.root}" for s in each]
    forget_failures(store, theirs, "turtle")
    assert plan_of(theirs).failures is None and plan_of(trained).failures is not None
    finished(theirs, tmp_path / "made by them")
    for settings in (trained, theirs, trained):  # though the last record is theirs
        assert plan_of(settings).state == "up to date"
    write_params(trained.root, unet={"max_train_steps": 3})
    assert plan_of(trained).causes == ("stage 3: max_train_steps 2 -> 3",)
    finished(trained, tmp_path / "changed", 2)
    assert plan_of(trained).state == plan_of(theirs).state == "up to date"


def test_two_projects_with_a_concept_of_one_name_in_one_registry_are_told_what_they_do_to_each_other(
    trained, tmp_path, base_folder, evaluator_folder
):
    shared = {"mlflow_tracking_uri": trained.mlflow_tracking_uri}
    theirs = make_training_project(tmp_path / "theirs", base_folder, evaluator_folder).model_copy(update=shared)
    photo(99, 48, 48).save(theirs.concepts_dir / "turtle/images/02.png")
    finished(theirs, tmp_path / "made by them", 2)
    (cause,) = plan_of(trained).causes
    assert cause.startswith(
        "alias 'candidate' names version 2, not version 1, and this store did not register that one"
    )
    assert "give one of them another name, or an MLflow of its own" in cause
    assert plan_of(theirs).state == "up to date"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda c, name: c.delete_model_version(name, "1"), "registered version missing"),
        (lambda c, name: c.delete_registered_model_alias(name, CANDIDATE), "alias 'candidate' names nothing"),
        (
            lambda c, name: c.set_model_version_tag(name, "1", "conceptbooth.stage.gallery", "other"),
            "the registered version shows another gallery",
        ),
    ],
)
def test_what_the_registry_lacks_is_registered_without_training(trained, change, cause):
    change(connect(trained), model_name("turtle"))
    planned = plan_of(trained)
    assert planned.runs == ("register",) and planned.causes[0].startswith(cause)


def test_a_registry_that_cannot_be_asked_is_said_and_hides_nothing_else(trained):
    away = trained.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    plan = make_plan(away, ["turtle"])
    assert plan.registry_unknown is not None and "127.0.0.1:9" in plan.registry_unknown
    assert plan.concepts[0].state == "up to date"


def test_concepts_with_problems_stand_beside_the_others(trained, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    (trained.concepts_dir / "no-description").mkdir()
    add_concept(trained.root, "broken")
    write_concept(trained.concepts_dir / "broken", colour="blue")
    add_concept(trained.root, "other_one", 60)
    add_concept(trained.root, "other-one", 70)
    assert run_plan(trained, [], as_json=True) == 0
    plans = {plan["concept"]: plan for plan in json.loads(capsys.readouterr().out)["concepts"]}
    states = {name: plan["state"] for name, plan in plans.items()}
    assert states == {
        "turtle": "up to date",
        "no-description": "problem",
        "broken": "problem",
        "other-one": "stale",
        "other_one": "problem",
    }
    assert "data/concepts/no-description/concept.yaml is missing" in plans["no-description"]["causes"][0]
    assert "concepts 'other-one' and 'other_one' differ in dashes" in plans["other_one"]["causes"][0]
    assert run_plan(trained, ["turtle", "broken"], as_json=False) == 2
    said = capsys.readouterr().out
    assert "up to date: turtle" in said and "colour is unknown" in said
    monkeypatch.setenv("COLUMNS", "40")
    run_plan(trained, ["no-description"], as_json=False)
    assert "concept.yaml is missing" in (said := capsys.readouterr().out) and "remove the folder" in said


def test_a_placeholder_token_is_the_folder_s_name_and_nothing_else(project):
    write_concept(project.concepts_dir / "turtle", placeholder_token="<tortoise>")
    with pytest.raises(InputError, match="placeholder_token does not belong here; the folder says it"):
        plan_jobs(project, ["turtle"])


def by_mlflow(settings: Settings) -> list[tuple[str, int, dict[str, str], set[str]]]:
    """What MLflow's own client says of all versions, with the tags that the survey asks for."""
    client = connect(settings)
    found = []
    for version in client.search_model_versions("name LIKE 'concept.%'"):
        full = client.get_model_version(version.name, version.version)
        tags = {name: value for name, value in full.tags.items() if name in ours(name)}
        found.append((version.name.removeprefix("concept."), int(version.version), tags, set(full.aliases)))
    return sorted(found, key=lambda one: one[:2])


def ours(name: str) -> list[str]:
    return [name] if name in ("conceptbooth.key", "conceptbooth.gate") or name.startswith("conceptbooth.stage.") else []


def by_survey(settings: Settings) -> list[tuple[str, int, dict[str, str], set[str]]]:
    found = [version for versions in registered_versions(settings).values() for version in versions]
    return sorted(((v.concept, v.version, dict(v.tags), set(v.aliases)) for v in found), key=lambda one: one[:2])


def test_the_survey_says_what_mlflow_says(project):
    client = connect(project)
    for name, versions in (("concept.turtle", 3), ("concept.teapot", 1)):
        client.create_registered_model(name)
        for number in range(versions):
            tags = {"conceptbooth.key": f"{number}", "conceptbooth.stage.gallery": "g", "conceptbooth.base": "b"}
            client.create_model_version(name, source="none", tags=tags)
    client.create_registered_model("somebody-else")
    client.create_model_version("somebody-else", source="none")
    client.delete_model_version("concept.turtle", "2")
    client.set_registered_model_alias("concept.turtle", "champion", "1")
    client.set_model_version_tag("concept.turtle", "3", "conceptbooth.gate", "{}")
    assert by_survey(project) == by_mlflow(project)
    assert [(name, number) for name, number, *_ in by_survey(project)] == [("teapot", 1), ("turtle", 1), ("turtle", 3)]


def test_a_registry_that_was_never_used_is_empty_and_a_broken_one_unknown(tmp_path):
    file = tmp_path / "mlflow.db"
    settings = Settings(root=tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")
    assert registered_versions(settings) == {}
    sqlite3.connect(file).close()
    assert registered_versions(settings) == {}
    file.write_text("no database" * 100)
    with pytest.raises(RegistryUnknown, match=r"mlflow\.db could not be asked"):
        registered_versions(settings)

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

from model.errors import InputError, WorkFailed
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.registry.registration import MODEL_ID_TAG, _create_version, confirm, register
from tasks.registry.run_facts import PARENT_TAG, REGISTRAR_TAG
from tasks.registry.runs import record_training
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.versions import (
    GALLERY_TAG,
    KEY_TAG,
    REVOKED_TAG,
    WEIGHTS_SHA256_TAG,
    WEIGHTS_SIZE_TAG,
    resolve,
    versions,
)
from tasks.store.store import Damaged, open_store
from tasks.tracking.client import MlflowRefused, connect, experiment_id
from tests.tasks.finished_training import DATA_VERSION, PROMPTS, STAGES, STEPS, concept, project, training

NAME = "concept.turtle"
STAGE_NAMES = ("1 embedding", "2 cross attention", "3 unet")
ROOT = Path(__file__).resolve().parents[3]
REGISTER = """
import sys
from pathlib import Path
from tasks.registry.registration import register
from tasks.project.settings import Settings
from tests.tasks.finished_training import concept, training

settings = Settings(root=Path(sys.argv[1]))
register(settings, concept(settings), training(settings))
"""


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return project(tmp_path / "project")


@pytest.fixture
def client(settings) -> MlflowClient:
    return connect(settings)


def in_another_process(code: str, settings: Settings, **environment: str) -> subprocess.Popen:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(settings.root)],
        cwd=Path.cwd(),
        env=variables | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def runs_of(client: MlflowClient, settings: Settings, parent: str | None = None):
    query = f"tags.`{PARENT_TAG}` = '{parent}'" if parent else "tags.`conceptbooth.key` LIKE '%'"
    return client.search_runs([experiment_id(client, settings)], query)


def test_a_training_becomes_a_run_for_each_stage_under_one_that_tells_the_whole(settings, client):
    registered = register(settings, concept(settings), training(settings))

    run = client.get_run(registered.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["evaluation.guidance_scale"] == "3.0"
    assert run.data.params["images"] == "4"
    assert run.data.params["evaluation.prompts"] == str(len(PROMPTS))
    assert run.data.metrics["clip_i"] == 0.71
    assert run.data.metrics["interval_95/clip_t_low"] == pytest.approx(0.29)
    assert {name for name in run.data.metrics if "/" not in name} == {"clip_i", "clip_t"}  # charts that stand alone
    assert run.data.params["unet.learning_rate"] == str(10.0**-5)
    assert run.info.run_name == "turtle v1" and run.data.tags["mlflow.user"]
    assert run.info.end_time - run.info.start_time == 4 * 12_500  # as long as its stages and its evaluation took
    assert run.data.tags["conceptbooth.data_version"] == DATA_VERSION
    assert run.data.tags["mlflow.source.git.commit"] == "a" * 40
    assert "**CLIP-I 0.71 [0.69, 0.73]**" in run.data.tags["mlflow.note.content"]
    assert {entry.path for entry in client.list_artifacts(run.info.run_id, "gallery")} == {
        "gallery/gallery.png",
        "gallery/index.html",
    }
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "prompts.json", "type": "table"}]
    table = pd.read_json(client.download_artifacts(run.info.run_id, "prompts.json"), orient="split")
    assert list(table["prompt"]) == list(PROMPTS)
    assert list(table.columns[:3]) == ["prompt", "picture", "untrained_base"]
    assert table["clip_t_high"][0] == pytest.approx(0.32)
    pictures = {client.download_artifacts(run.info.run_id, cell["filepath"]) for cell in table["picture"]}
    others = {client.download_artifacts(run.info.run_id, cell["filepath"]) for cell in table["untrained_base"]}
    assert len({Path(file).read_bytes() for file in pictures | others}) == 2 * len(PROMPTS)

    stages = sorted(runs_of(client, settings, registered.run_id), key=lambda stage: stage.info.run_name)
    assert [stage.info.run_name for stage in stages] == [f"turtle v1: {n}" for n in STAGE_NAMES]
    for number, stage in enumerate(stages):
        assert stage.info.status == "FINISHED"
        assert stage.data.params["learning_rate"] == str(10.0 ** -(3 + number))
        assert stage.data.tags["conceptbooth.stage_key"] == training(settings)[STAGES[number]].key
        assert stage.info.end_time - stage.info.start_time == 12_500
        assert {entry.path for entry in client.list_artifacts(stage.info.run_id)} == {
            "preview.png",
            "attention_placeholder.png",
            "attention_super_category.png",
        }
        for name in ("loss", "attention_loss", "learning_rate", "grad_norm", "samples_per_second"):
            points = sorted(client.get_metric_history(stage.info.run_id, name), key=lambda point: point.step)
            assert [point.step for point in points] == [1, 10, 20, STEPS]
            times = [point.timestamp for point in points]
            assert stage.info.start_time < times[0] < times[1] < times[2] < times[3] == stage.info.end_time
        losses = {point.step: point.value for point in client.get_metric_history(stage.info.run_id, "loss")}
        assert losses[10] == pytest.approx(0.4 + number)


def test_the_runs_that_saw_an_image_set_are_found_by_its_data_version(settings, client):
    registered = register(settings, concept(settings), training(settings))
    assert len(DATA_VERSION) == 36  # the longest digest that MLflow takes
    found = client.search_runs([experiment_id(client, settings)], f"dataset.digest = '{DATA_VERSION}'")
    assert [run.info.run_id for run in found] == [registered.run_id]
    (used,) = found[0].inputs.dataset_inputs
    assert used.dataset.name == "turtle"
    assert json.loads(used.dataset.source) == {"uri": "data/concepts/turtle/images"}
    assert client.search_runs([experiment_id(client, settings)], f"dataset.digest = '{DATA_VERSION[::-1]}'") == []


def test_the_version_says_where_it_came_from(settings, client):
    manifests = training(settings)
    registered = register(settings, concept(settings), manifests)
    version = client.get_model_version_by_alias(NAME, CANDIDATE)
    assert (registered.version, int(version.version), registered.created) == (1, 1, True)
    assert version.run_id == registered.run_id
    assert version.tags["conceptbooth.key"] == registered.key
    assert version.tags["conceptbooth.base_digest"] == "ba5e"
    assert version.tags["conceptbooth.git_commit"] == "a" * 40
    for stage, manifest in manifests.items():
        assert version.tags[f"conceptbooth.stage.{stage}"] == manifest.key
    model = client.get_logged_model(version.tags["conceptbooth.model_id"])
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": 1}]
    assert {metric.key: metric.value for metric in model.metrics}["clip_i"] == 0.71


def test_the_same_content_is_registered_once(settings, client):
    first = register(settings, concept(settings), training(settings))
    again = register(settings, concept(settings), training(settings))
    assert (again.version, again.run_id, again.created) == (first.version, first.run_id, False)
    assert len(versions(client, "turtle")) == 1
    assert len(runs_of(client, settings)) == 1


def test_candidate_is_what_the_last_training_registered(settings, client):
    first = register(settings, concept(settings), training(settings))
    second = register(settings, concept(settings), training(settings, seed=1))
    assert (first.version, second.version) == (1, 2)
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == 2
    register(settings, concept(settings), training(settings))
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == 1
    assert confirm(settings, second) is None  # as when Prefect remembers the second
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == 2
    assert len(versions(client, "turtle")) == 2


def test_a_revoked_version_does_not_become_the_candidate_again(settings, client):
    first = register(settings, concept(settings), training(settings))
    second = register(settings, concept(settings), training(settings, seed=1))
    client.set_model_version_tag(NAME, str(first.version), REVOKED_TAG, "2026-11-24: the owner took her consent back")
    for again in (lambda: register(settings, concept(settings), training(settings)), lambda: confirm(settings, first)):
        with pytest.raises(WorkFailed, match=r"version 1 of .* was revoked on 2026-11-24: .*; train on other images"):
            again()
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == second.version


def test_a_deleted_version_is_made_again_from_its_run(settings, client):
    first = register(settings, concept(settings), training(settings))
    client.delete_model_version(NAME, "1")
    assert "version 1 of concept.turtle is gone" in confirm(settings, first)
    again = register(settings, concept(settings), training(settings))
    assert again.created
    assert again.run_id == first.run_id
    assert len(runs_of(client, settings)) == 1
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == again.version


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_damaged_weights_are_put_back_into_the_same_version(settings, client, harm):
    first = register(settings, concept(settings), training(settings))
    weights = resolve(settings, VersionReference.parse("turtle")).folder / "concept.safetensors"
    good = weights.read_bytes()
    if harm == "gone":
        weights.unlink()
    else:
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert "concept.safetensors" in confirm(settings, first)
    again = register(settings, concept(settings), training(settings))
    assert (again.version, again.created) == (1, False)
    assert "concept.safetensors" in again.repaired
    assert weights.read_bytes() == good
    assert confirm(settings, first) is None


def test_weights_trained_again_to_other_bytes_become_a_version_of_their_own(settings, client):
    first = register(settings, concept(settings), training(settings))
    weights = resolve(settings, VersionReference.parse("turtle")).folder / "concept.safetensors"
    weights.unlink()
    manifests = training(settings)
    last = manifests[STAGES[-1]]
    store = open_store(settings)
    Path(store.manifest_address(last.stage, last.key)).unlink()  # it was damaged too, and trained again
    manifests = training(settings, weights=b"the same key, other bytes")
    again = register(settings, concept(settings), manifests)
    assert (again.version, again.created, again.key) == (2, True, first.key)
    assert resolve(settings, VersionReference.parse("turtle")).version == 2
    assert not weights.exists()
    assert register(settings, concept(settings), manifests).version == 2


def test_a_gallery_that_was_drawn_again_takes_the_place_of_the_old_one(settings, client):
    manifests = training(settings)
    first = register(settings, concept(settings), manifests)
    newer = training(settings, page=b"<html>another licence</html>")["gallery"]
    assert newer.key != manifests["gallery"].key
    again = register(settings, concept(settings), manifests | {"gallery": newer})
    assert (again.version, again.created, again.redrawn) == (first.version, False, True)
    page = Path(client.download_artifacts(first.run_id, "gallery/index.html"))
    assert page.read_text() == "<html>another licence</html>"
    assert versions(client, "turtle")[0].tags["conceptbooth.stage.gallery"] == newer.key
    assert client.get_run(first.run_id).data.tags["conceptbooth.stage.gallery"] == newer.key
    assert not register(settings, concept(settings), manifests | {"gallery": newer}).made


@pytest.mark.parametrize(("place", "error"), [("ftp://nowhere", InputError), ("{root}/base/unet", MlflowRefused)])
def test_a_registration_that_cannot_be_says_that_the_training_is_kept(settings, place, error):
    (settings.root / "base" / "unet" / "mlflow.db").write_text("this is no database, " * 100)
    uri = place if "://" in place else f"sqlite:///{place.format(root=settings.root)}/mlflow.db"
    wrong = settings.model_copy(update={"mlflow_tracking_uri": uri})
    with pytest.raises(error, match=r"the training of 'turtle' is kept in the store; run `conceptbooth train turtle`"):
        register(wrong, concept(settings), training(settings))


def test_a_damaged_artefact_is_the_stores_failure_and_leads_to_no_version(settings, client):
    manifests = training(settings)
    record = manifests[STAGES[-1]].files["concept.safetensors"]
    content = Path(open_store(settings).content_address(record.sha256))
    content.chmod(0o644)
    content.write_bytes(content.read_bytes()[::-1])
    with pytest.raises(Damaged, match=STAGES[-1]):
        register(settings, concept(settings), manifests)
    assert versions(client, "turtle") == []


class Killed(BaseException):
    """Nothing of ours catches this, as nothing catches a kill."""


CHANGES = [
    *("create_experiment", "create_run", "log_batch", "log_inputs", "log_artifact", "log_table", "set_terminated"),
    *("create_logged_model", "log_outputs", "finalize_logged_model", "set_logged_model_tags"),
    *("create_registered_model", "create_model_version", "set_registered_model_alias"),
]


def die_after(monkeypatch, chosen: tuple[str, int] | None) -> list[tuple[str, int]]:
    """List the calls that change something, each with its number; raise Killed once the chosen one has taken effect."""
    calls: list[tuple[str, int]] = []

    def counted(owner: type, name: str):
        real = getattr(owner, name)

        def changed(*args, **options):
            result = real(*args, **options)
            calls.append((name, 1 + sum(other == name for other, _ in calls)))
            if calls[-1] == chosen:
                raise Killed
            return result

        monkeypatch.setattr(owner, name, changed)

    for name in CHANGES:
        counted(MlflowClient, name)
    counted(LocalArtifactRepository, "log_artifacts")
    return calls


def test_a_registration_killed_anywhere_is_finished_or_done_again_by_the_next(settings, client, tmp_path, monkeypatch):
    with monkeypatch.context() as counting:
        another = project(tmp_path / "another")
        calls = die_after(counting, None)
        register(another, concept(another), training(another))
    last = dict(calls)
    steps = [(name, number) for name, number in calls if number in (1, last[name])]
    assert set(last) == {*CHANGES, "log_artifacts"}

    for step in steps:  # each begins with what the one before left
        with monkeypatch.context() as dying, pytest.raises(Killed):
            die_after(dying, step)
            register(settings, concept(settings), training(settings))

    registered = register(settings, concept(settings), training(settings))
    assert [version.version for version in versions(client, "turtle")] == [registered.version]
    assert client.get_model_version_by_alias(NAME, CANDIDATE).version == registered.version
    (run,) = runs_of(client, settings)
    assert run.info.run_id == registered.run_id
    assert len(runs_of(client, settings, run.info.run_id)) == len(STAGES)
    experiment = experiment_id(client, settings)
    assert len(client.search_runs([experiment])) == 1 + len(STAGES)
    (model,) = client.search_logged_models([experiment])
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": registered.version}]
    files = Path(settings.home / "mlflow" / "artifacts")
    kept = {path.parts[len(files.parts)] for path in files.rglob("*.png")}
    assert kept == {run.info.run_id for run in client.search_runs([experiment])}
    assert len(list(files.rglob("concept.safetensors"))) == 1
    assert confirm(settings, registered) is None


def test_a_killed_process_leaves_no_lock_and_no_second_version(settings, client):
    kill = (
        "import mlflow.tracking as t, os\nt.MlflowClient.finalize_logged_model = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    killed = in_another_process(kill + REGISTER, settings)
    output, _ = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, output
    (half,) = runs_of(client, settings)
    assert half.info.status == "RUNNING"
    registered = register(settings, concept(settings), training(settings))
    assert [version.version for version in versions(client, "turtle")] == [registered.version]
    assert [run.info.run_id for run in runs_of(client, settings)] == [registered.run_id]
    assert client.get_run(half.info.run_id).info.lifecycle_stage == "deleted"
    assert "interrupted" in client.get_run(half.info.run_id).data.tags["conceptbooth.discarded"]


def test_what_a_killed_registration_left_goes_also_when_the_content_has_changed(settings, client, monkeypatch):
    with monkeypatch.context() as dying, pytest.raises(Killed):
        die_after(dying, ("log_table", 1))
        register(settings, concept(settings), training(settings))
    assert [run.info.status for run in runs_of(client, settings)] == ["RUNNING"]
    registered = register(settings, concept(settings), training(settings, seed=1))
    assert [run.info.run_id for run in runs_of(client, settings)] == [registered.run_id]


def test_a_run_that_another_machine_may_be_writing_is_left_alone(settings, client, monkeypatch):
    with monkeypatch.context() as dying, pytest.raises(Killed):
        die_after(dying, ("log_table", 1))
        register(settings, concept(settings), training(settings))
    (theirs,) = runs_of(client, settings)
    client.set_tag(theirs.info.run_id, REGISTRAR_TAG, "another machine")
    registered = register(settings, concept(settings), training(settings))
    assert {run.info.run_id for run in runs_of(client, settings)} == {theirs.info.run_id, registered.run_id}
    assert len(versions(client, "turtle")) == 1


def test_two_processes_register_the_same_content_once(settings, client):
    both = [in_another_process(REGISTER, settings) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [version.version for version in versions(client, "turtle")] == [1]
    assert len(runs_of(client, settings)) == 1


def test_of_two_machines_that_register_the_same_content_the_first_version_stays(settings, client):
    first = register(settings, concept(settings), training(settings))
    store = open_store(settings)
    record = TrainingFacts.read(store, concept(settings), training(settings))
    late = record_training(client, settings, store, experiment_id(client, settings), record)
    assert int(_create_version(client, late, record).version) == first.version
    assert [int(version.version) for version in versions(client, "turtle")] == [first.version]
    assert [run.info.run_id for run in runs_of(client, settings)] == [first.run_id]


def test_the_first_registration_of_all_is_silent_and_stays_in_the_project(settings, tmp_path):
    (settings.home / "mlflow" / "mlflow.db").unlink()
    home = tmp_path / "home"
    home.mkdir()
    process = in_another_process(REGISTER, settings, HOME=str(home))
    output, _ = process.communicate()
    assert (process.returncode, output) == (0, "")
    assert list(home.iterdir()) == []
    assert list(Path.cwd().iterdir()) == []
    assert {path.name for path in settings.root.iterdir()} == {"params.yaml", "base", ".conceptbooth"}
    assert resolve(settings, VersionReference.parse("turtle")).version == 1


@pytest.mark.parametrize("tag", [KEY_TAG, WEIGHTS_SHA256_TAG, WEIGHTS_SIZE_TAG, GALLERY_TAG, MODEL_ID_TAG])
def test_a_tag_that_was_cleared_is_put_back_from_the_stores_records(settings, client, caplog, tag):
    made = training(settings)
    register(settings, concept(settings), made)
    before = client.get_model_version(NAME, "1").tags
    client.delete_model_version_tag(NAME, "1", tag)
    again = register(settings, concept(settings), made)
    assert (again.version, again.created) == (1, False)
    assert client.get_model_version(NAME, "1").tags == before
    assert f"{NAME} version 1: its tag {tag} was cleared; put back" in caplog.text
    client.delete_model_version_tag(NAME, "1", tag)
    mend_cleared_tags(settings, "turtle")
    assert dict(resolve(settings, VersionReference.parse("turtle")).tags) == before


def test_without_a_record_a_cleared_tag_is_named(settings, client):
    register(settings, concept(settings), training(settings))
    client.delete_model_version_tag(NAME, "1", WEIGHTS_SHA256_TAG)
    store = open_store(settings)
    for path in store.records("registries/"):
        store.delete_record(path)
    mend_cleared_tags(settings, "turtle")
    with pytest.raises(InputError, match=f"version 1: its tag {WEIGHTS_SHA256_TAG} is missing"):
        resolve(settings, VersionReference.parse("turtle"))

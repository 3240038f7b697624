"""The flow on a real Prefect API and a real MLflow database, with tiny models.

The tests share one project, whose training the first of them finds made; each leaves it whole again.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import temporary_settings

from flows.server.command_flows import flows_of_command
from flows.training.outcome import ConceptOutcome
from flows.training.train import run_training
from flows.training.train_here import train_here
from flows.training.verdict import judged
from model.errors import InputError
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.versions import resolve
from tasks.store.models import kept_model
from tasks.store.store import open_store
from tests.training_project import add_concept, make_training_project, write_concept, write_params

TASKS = ["prepare", "train-1-embedding", "train-2-cross_attention", "train-3-unet", "evaluate", "gallery", "register"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, base_folder, evaluator_folder, prefect_url) -> Iterator[Settings]:
    """The settings of the shared project, with results of Prefect's of its own."""
    root = tmp_path_factory.mktemp("flows") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    with temporary_settings({"results.local_storage_path": root / "results"}):
        yield Settings(root=root, prefect_api_url=prefect_url)


@pytest.fixture(scope="module")
def first(shared) -> ConceptOutcome:
    """What the first training of the shared project came to."""
    (outcome,) = run_training(shared, ["turtle"])
    assert outcome.error is None, outcome.error
    return outcome


def made(outcome: ConceptOutcome) -> list[str]:
    assert outcome.error is None, outcome.error
    assert [task.name for task in outcome.tasks] == TASKS
    return [task.name for task in outcome.tasks if task.state == "made"]


def again(settings: Settings) -> ConceptOutcome:
    (outcome,) = run_training(settings, ["turtle"])
    return outcome


def weights_digests(settings: Settings) -> list[str]:
    (job,) = plan_jobs(settings, ["turtle"])
    store = open_store(settings)
    return [store.get(plan.stage, plan.key).files["concept.safetensors"].sha256 for plan in job.trainings]


def content(settings: Settings, stage: str, name: str) -> Path:
    """Where the store keeps a file of the shared training."""
    (job,) = plan_jobs(settings, ["turtle"])
    plan = next(plan for plan in job.stages if plan.stage == stage)
    store = open_store(settings)
    path = Path(store.content_address(store.get(plan.stage, plan.key).files[name].sha256))
    path.chmod(0o644)
    return path


def manifest(settings: Settings, stage: str) -> Path:
    (job,) = plan_jobs(settings, ["turtle"])
    return Path(
        open_store(settings).manifest_address(stage, next(plan.key for plan in job.stages if plan.stage == stage))
    )


def last_states(url: str) -> dict[str, str]:
    """Names of the states in which the tasks of the newest flow run ended, as Prefect's pages show them."""
    with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        runs = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        for _ in range(100):  # Prefect writes task runs down a little later
            found = client.read_task_runs(flow_run_filter=runs)
            if len(found) == len(TASKS):
                break
            time.sleep(0.2)
        return {task.name: task.state_name for task in found}


def test_the_first_run_makes_everything_and_leaves_it_where_a_person_looks(shared, first):
    assert made(first) == TASKS
    assert (first.model_name, first.version, first.version_created) == ("concept.turtle", 1, True)
    assert first.gallery_png.is_file() and first.gallery_html.is_file()
    assert first.gallery_png.parent == shared.gallery_dir / "turtle"
    assert set(first.scores) >= {"clip_i", "clip_t", "base_clip_i", "base_clip_t", "prompts"}
    assert first.verdict.passed and first.verdict.said.endswith(", at least -1")
    json.dumps(first.to_json())


def newest_run(client):
    (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run


def log_of(client, run, until: str) -> str:
    """What the log of a run and of its tasks says, once it says this; Prefect writes it down a little later."""
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.logging.handlers import APILogWorker

    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    for _ in range(50):
        APILogWorker.drain_all(timeout=1)
        said = "\n".join(line.message for line in client.read_logs(wanted))
        if until in said:
            break
        time.sleep(0.2)
    return said


def test_the_pages_call_a_run_by_its_concept_and_say_what_was_learnt(shared, first, prefect_url):
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with temporary_settings({"api.url": prefect_url}), get_client(sync_client=True) as client:
        run = newest_run(client)
        assert run.name == "turtle" and {"conceptbooth", "concept:turtle"} <= set(run.tags)
        said = log_of(client, run, "turtle v1")
        assert "turtle v1, registered now: CLIP-I" in said and str(first.gallery_html) in said
        learnt = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["turtle-learnt"])))
        assert "| CLIP-T |" in learnt[0].data


def test_a_failure_is_a_failed_state_with_its_sentence_and_no_traceback(shared, first, prefect_url):
    broken = add_concept(shared.root, "cut-off", first_photo=40) / "images" / "03.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (job,) = plan_jobs(shared, ["cut-off"])
    try:
        outcome = train_here(job, Silence(), checked=True)  # so that a task fails, and not the check before
        assert outcome.error and outcome.fault == "concept" and "03.png" in outcome.error
        with temporary_settings({"api.url": prefect_url}), get_client(sync_client=True) as client:
            run = newest_run(client)
            assert (run.name, run.state.name) == ("cut-off", "Failed")
            assert "03.png" in run.state.message and "encountered an exception" not in run.state.message
            assert "Traceback" not in log_of(client, run, "Finished in state")
    finally:
        shutil.rmtree(job.concept.folder)


def test_a_run_without_changes_starts_neither_prefect_nor_torch(shared, first):
    gallery = first.gallery_html.read_bytes()
    first.gallery_html.unlink()
    code = (
        "import sys, time, pathlib; from flows.training.train import run_training; started = time.monotonic()\n"
        "from tasks.project.settings import Settings\n"
        f"(done,) = run_training(Settings(root=pathlib.Path({str(shared.root)!r})), ['turtle'])\n"
        "waited = time.monotonic() - started\n"
        "assert not {'prefect', 'torch', 'mlflow.tracking'} & set(sys.modules), sorted(sys.modules)\n"
        "assert waited / 2 < done.seconds <= waited, (done.seconds, waited)\n"
        "assert {task.state for task in done.tasks} == {'cached'}\n"
        "print(done.model_name, done.version, done.version_created, done.scores['clip_i']['mean'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["concept.turtle", "1", "False", str(first.scores["clip_i"]["mean"])]
    assert first.gallery_html.read_bytes() == gallery
    assert not (shared.prefect_home / "api.log").exists()


def test_a_version_that_was_damaged_in_the_registry_is_mended(shared, first, capsys):
    (file,) = (shared.root / ".conceptbooth" / "mlflow").rglob("artifacts/concept.safetensors")
    right = file.read_bytes()
    file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    assert made(again(shared)) == ["register"]
    assert file.read_bytes() == right
    assert "is not what was registered; registering again" in " ".join(capsys.readouterr().err.split())


def test_a_run_that_asks_prefect_is_cached_task_by_task_and_makes_no_second_version(shared, first, prefect_url):
    (job,) = plan_jobs(shared, ["turtle"])
    with flows_of_command(shared, lambda: None, verbose=False):
        outcome = train_here(job, Silence(), checked=True)
    assert made(outcome) == []
    assert (outcome.version, outcome.version_created) == (1, False)
    assert outcome.scores == first.scores
    assert [each.verdict for each in judged(shared, [outcome])] == [first.verdict]
    states = last_states(prefect_url)
    assert set(states) == set(TASKS)
    assert set(states.values()) == {"Cached"}


def test_nothing_that_prefect_keeps_is_a_pickle(shared, first):
    kept = [path for path in (shared.root / "results").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        record = json.loads(path.read_bytes())
        assert record["metadata"]["serializer"]["type"] == "json"


@pytest.mark.parametrize(
    ("stage", "name", "harm", "word"),
    [
        ("prepare", "images/00.png", lambda path: path.unlink(), "missing"),
        ("train-2-cross_attention", "concept.safetensors", lambda path: path.write_bytes(b"cut"), "3 bytes instead"),
        ("gallery", "index.html", lambda path: path.unlink(), "missing"),
    ],
)
def test_a_damaged_artefact_is_made_again_and_named(shared, first, capsys, stage, name, harm, word):
    before = weights_digests(shared)
    path = content(shared, stage, name)
    harm(path)
    assert made(again(shared)) == [stage]
    said = " ".join(capsys.readouterr().err.split())
    assert "warning" in said and name in said and word in said and stage in said
    assert path.is_file() and weights_digests(shared) == before
    assert made(again(shared)) == []


def test_an_artefact_that_is_gone_is_made_again_and_named(shared, first, capsys):
    path = manifest(shared, "train-1-embedding")
    shutil.rmtree(path.parent)
    assert made(again(shared)) == ["train-1-embedding"]
    assert str(path) in "".join(capsys.readouterr().err.split("\n"))


def test_bytes_that_changed_unseen_are_found_when_they_are_read(shared, first, capsys):
    before = weights_digests(shared)
    path = content(shared, "train-1-embedding", "concept.safetensors")
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    assert made(again(shared)) == []  # nothing reads it, and its size is right
    shutil.rmtree(manifest(shared, "train-2-cross_attention").parent)
    assert made(again(shared)) == ["train-1-embedding", "train-2-cross_attention"]
    assert "its bytes have changed" in " ".join(capsys.readouterr().err.split())
    assert path.read_bytes() == right and weights_digests(shared) == before


def test_prefect_s_cache_is_not_needed(shared, first):
    shutil.rmtree(shared.root / "results")
    (job,) = plan_jobs(shared, ["turtle"])
    with flows_of_command(shared, lambda: None, verbose=False):
        outcome = train_here(job, Silence(), checked=True)
    assert made(outcome) == [] and outcome.version == 1


def test_only_what_a_change_touches_runs_again(shared, first):
    write_params(shared.root, unet={"max_train_steps": 3})
    changed = again(shared)
    assert made(changed) == TASKS[3:]
    assert (changed.version, changed.version_created) == (2, True)
    write_params(shared.root)
    back = again(shared)
    assert made(back) == [] and back.version == 1


def test_the_last_stage_leaves_the_form_that_is_evaluated_and_registered(shared, first, tmp_path):
    from model.bases.base import load_base
    from model.weights.concept import ConceptWeights
    from model.weights.file import is_small

    weights = [content(shared, stage, "concept.safetensors") for stage in TASKS[1:4]]
    assert [is_small(path) for path in weights] == [False, False, True]
    version = resolve(shared, VersionReference.parse("turtle/1"))
    assert (version.folder / "concept.safetensors").read_bytes() == weights[-1].read_bytes()
    write_params(shared.root, model_form="exact")
    exact = again(shared)
    assert made(exact) == TASKS[3:] and exact.version not in (1, 2)
    (path,) = [content(shared, stage, "concept.safetensors") for stage in TASKS[3:4]]
    assert not is_small(path)
    # the training is the same: its exact weights give the very bytes that version 1 has
    ConceptWeights.load(path).shrunk(load_base(str(shared.root / "base"))).save(tmp_path / "concept.safetensors")
    assert (tmp_path / "concept.safetensors").read_bytes() == weights[-1].read_bytes()
    write_params(shared.root)
    assert made(again(shared)) == []


def test_the_store_keeps_the_models_that_a_training_stands_on(shared, first):
    (job,) = plan_jobs(shared, ["turtle"])
    store = open_store(shared)
    for kind, model in job.recipe.models.items():
        manifest = kept_model(store, kind, model.digest)
        assert manifest and {name: record.sha256 for name, record in manifest.files.items()} == model.files
        assert store.damage(manifest, rehash=True) == []


def test_one_concept_s_failure_does_not_stop_the_others(shared, first, monkeypatch):
    import model.training.train

    add_concept(shared.root, "broken", 20)
    real = model.training.train.train_stage

    def fails(*, prompt, **arguments):
        if prompt.placeholder_token == "<broken>":
            raise ZeroDivisionError("somebody's mistake")
        return real(prompt=prompt, **arguments)

    monkeypatch.setattr(model.training.train, "train_stage", fails)
    broken, turtle = run_training(shared, ["broken", "turtle"])
    shutil.rmtree(shared.concepts_dir / "broken")
    assert made(turtle) == []
    assert "ZeroDivisionError: somebody's mistake" in broken.error
    trace = Path(broken.error.split("details in ")[1])
    assert "in fails" in trace.read_text()
    assert not list((shared.home / "work").glob("*/"))


def test_all_that_is_wrong_with_several_concepts_is_said_before_any_of_them_starts(shared, first):
    add_concept(shared.root, "teapot", 40, super_category="xqzzy")
    runs = sum(1 for _ in (shared.store / "stages").rglob("manifest.json"))
    with pytest.raises(InputError, match="'xqzzy'"):
        run_training(shared, ["teapot", "turtle"])
    write_concept(shared.concepts_dir / "teapot", super_category="teapot", colour="blue")
    with pytest.raises(InputError) as caught:
        run_training(shared, ["teapot", "nobody", "Some Body"])
    shutil.rmtree(shared.concepts_dir / "teapot")
    said = "\n".join(caught.value.problems)
    assert "colour" in said and "'nobody'" in said and "'Some Body'" in said
    assert runs == sum(1 for _ in (shared.store / "stages").rglob("manifest.json"))


def test_an_unwritable_store_is_refused_before_any_work(shared, first):
    blocked = shared.root / "blocked"
    blocked.write_text("a file where the store should be")
    settings = shared.model_copy(update={"store": blocked})
    with pytest.raises(InputError, match="CONCEPTBOOTH_STORE"):
        run_training(settings, ["turtle"])

"""Nights on a real Prefect API, a real store and a real MLflow database, with tiny models.

The tests share one project of three concepts and are nights one after the other, each leaving it as the next expects.
"""

import dataclasses
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.settings import temporary_settings
from typer.testing import CliRunner, Result

import model.training.train
from flows.cli.app import app
from flows.night.dispatch import in_this_process
from model.bases.domain import DOMAIN_FILE
from model.errors import WorkFailed
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import plan_jobs
from tasks.plan.failures import Failures, failures_path
from tasks.plan.last_training import LastTraining, last_training_path, read_last_training
from tasks.production.ledger import append, record_path
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.store_records import record_paths
from tasks.store.blobs import StoreFailed
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tests.flows.webhook_receiver import WebhookReceiver
from tests.tasks.production.test_ledger import record
from tests.training_project import add_concept, make_training_project, write_params

TURTLE, DIVERGES, BAD = "turtle", "diverges", "bad-images"


@pytest.fixture(scope="module")
def shared(tmp_path_factory, base_folder, evaluator_folder, prefect_url) -> Iterator[Settings]:
    root = tmp_path_factory.mktemp("nights") / "project"
    make_training_project(root, base_folder, evaluator_folder)
    add_concept(root, DIVERGES, 20)
    add_concept(root, BAD, 40)
    (root / "data/concepts" / BAD / "images/02.png").write_bytes(b"no picture")
    with temporary_settings({"results.local_storage_path": root / "results"}):
        yield Settings(root=root, prefect_api_url=prefect_url)


@pytest.fixture(autouse=True)
def _inside(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared.root)
    monkeypatch.setenv("PREFECT_API_URL", shared.prefect_api_url)


@pytest.fixture(autouse=True)
def _one_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A concept whose training fails of itself, whatever it is made from."""
    real = model.training.train.train_stage

    def train_stage(*, prompt, **arguments):
        if prompt.placeholder_token == f"<{DIVERGES}>":
            raise WorkFailed("stage 'embedding': the loss is no number after step 1")
        return real(prompt=prompt, **arguments)

    monkeypatch.setattr(model.training.train, "train_stage", train_stage)


def command(*arguments: str, **environment: str) -> Result:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200", **environment})
    assert "Traceback" not in done.output
    return done


def night(*arguments: str, code: int, **environment: str) -> dict:
    done = command("nightly", "--now", "--json", *arguments, **environment)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def results(summary: dict) -> dict[str, str]:
    return {line["concept"]: line["result"] for line in summary["concepts"]}


def said(summary: dict, concept: str) -> str:
    (line,) = [line for line in summary["concepts"] if line["concept"] == concept]
    return line["said"]


def runs_of(name: str) -> list[str]:
    """How each run of this name ended, the latest last; the API is other tests' too, and they have a turtle as well."""
    named = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=named, sort=FlowRunSort.START_TIME_ASC)
    return [run.state_name for run in runs]


def on_the_page() -> list[dict]:
    with get_client(sync_client=True) as client:
        (artifact, *_) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["nightly-summary"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    return json.loads(artifact.data)


def nights(settings: Settings) -> list:
    client: MlflowClient = connect(settings)
    experiment = client.get_experiment_by_name("nightly")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])


@pytest.fixture
def small_world(shared) -> Iterator[None]:
    """The base knows a world whose pictures have 64 pixels, and the concepts' have 48."""
    (file := shared.root / "base" / DOMAIN_FILE).write_text('name = "the small world"\npicture_side = 64\n')
    yield
    file.unlink()


def test_before_the_first_night_everything_is_stale_and_the_dry_run_says_so(shared):
    done = command("nightly", "--dry-run", "--max-concepts", "2", "--json")
    assert done.exit_code == 0, done.output
    would = json.loads(done.stdout)
    assert [each["concept"] for each in would["would_train"]] == [BAD, DIVERGES]
    assert [each["concept"] for each in would["deferred"]] == [TURTLE]
    assert would["would_train"][0]["causes"] == ["never trained"]
    one = command("nightly", "--dry-run", "--max-concepts", "1", "--force", TURTLE, "--json")
    assert [each["concept"] for each in json.loads(one.stdout)["would_train"]] == [TURTLE], "a forced one counts too"
    shown = command("nightly", "--dry-run", "--max-concepts", "1").output
    assert shown.count("never trained") == 1 and f"left for another night: {DIVERGES}, {TURTLE}" in shown
    assert not list((shared.store / "stages").glob("*"))


def test_a_plan_names_the_concepts_that_the_base_cannot_draw_in_one_line(shared, small_world):
    end = "none of the small world, which is all that base model base knows"
    shown = command("plan").stderr
    (line,) = [line for line in shown.splitlines() if end in line]
    assert line.startswith(f"warning: 3 concepts ({BAD}, {DIVERGES}, {TURTLE}) have images that are {end}")
    assert "conceptbooth init ../photographs --base sd21`" in line
    assert f"concept {TURTLE}: 5 of these 5 images are {end}" in command("plan", TURTLE).stderr
    assert end in json.loads(command("plan", TURTLE, "--json").stdout)["foreign_to_base"]
    assert end in command("nightly", "--dry-run").stderr
    would = json.loads(command("nightly", "--dry-run", "--max-concepts", "1", "--json").stdout)
    assert would["foreign_to_base"].startswith(f"concept {BAD}: 4 of these 5 images are {end}")


def test_bad_images_and_a_training_that_fails_stop_nobody_else(shared, small_world):
    summary = night(code=1)
    assert [warning.partition(" have ")[0] for warning in summary["warnings"]] == [
        f"3 concepts ({BAD}, {DIVERGES}, {TURTLE})"
    ]
    assert results(summary) == {BAD: "failed", DIVERGES: "failed", TURTLE: "trained"}
    assert list(results(summary))[2] == TURTLE, "failures come first"
    assert "02.png" in said(summary, BAD) and "first failure, tried again the next night" in said(summary, BAD)
    assert "the loss is no number after step 1" in said(summary, DIVERGES)
    assert f"{DIVERGES}: stage 'embedding'" in summary["text"]
    assert (runs_of(TURTLE)[-1], runs_of(DIVERGES)[-1], runs_of(BAD)[-1]) == ("Completed", "Failed", "Failed")
    rows = {row["concept"]: row for row in on_the_page()}
    assert rows[TURTLE]["result"] == "trained" and "never trained" in rows[TURTLE]["why"]
    assert "02.png" in rows[BAD]["what happened"]
    (run,) = nights(shared)
    assert (run.data.metrics["trained"], run.data.metrics["failed"], run.info.status) == (1, 2, "FAILED")
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=4)  # of the night and its concepts
    assert all(run.labels.get("conceptbooth.process.pid") == os.getpid() for run in runs), "a killed one could be told"


def test_the_gate_s_verdict_stands_on_the_version(shared):
    version = connect(shared).get_model_version("concept.turtle", "1")
    verdict = json.loads(version.tags["conceptbooth.gate"])
    assert verdict["passed"] and verdict["champion"] is None
    assert [check["gate"] for check in verdict["checks"]] == ["minimum.clip_i"]


def test_what_failed_is_tried_the_next_night_and_then_waits(shared):
    summary = night(code=1)
    assert results(summary) == {BAD: "failed", DIVERGES: "failed"}
    assert summary["up_to_date"] == 1
    assert "failure 2 in a row, tried again in 2 nights" in said(summary, BAD)
    tried = len(runs_of(BAD))
    summary = night(code=0)
    assert results(summary) == {BAD: "waiting", DIVERGES: "waiting"}
    assert said(summary, BAD).startswith("failed 2 times, tried again the next night: ")
    assert "02.png" in said(summary, BAD)
    assert len(runs_of(BAD)) == tried
    store = open_store(shared)
    for name in (BAD, DIVERGES):
        noted = Failures.from_json(store.record(failures_path(shared, name)).content)
        store.write_record(failures_path(shared, name), dataclasses.replace(noted, waits=3).to_json())
    would = json.loads(command("nightly", "--dry-run", "--json").stdout)
    assert ([each["concept"] for each in would["waiting"]], would["would_train"]) == ([BAD, DIVERGES], [])
    would = json.loads(command("nightly", "--dry-run", "--retry", "--force", TURTLE, "--json").stdout)
    assert (would["waiting"], [each["concept"] for each in would["would_train"]]) == ([], [BAD, DIVERGES])
    assert [each["concept"] for each in would["would_verify"]] == [TURTLE]


def test_a_concept_that_is_forced_is_read_to_the_last_byte_and_mended(shared):
    store = open_store(shared)
    trained = store.get("train-3-unet", read_last_training(store, shared, TURTLE).stage("train-3-unet").key)
    weights = Path(store.content_address(trained.files["concept.safetensors"].sha256))
    content = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (plan,) = json.loads(command("plan", TURTLE, "--json").stdout)["concepts"]
    assert plan["state"] == "up to date", "a plan reads no bytes"
    assert results(night("--force", TURTLE, code=0))[TURTLE] == "trained"
    assert weights.read_bytes() == content
    assert results(night("--force", TURTLE, code=0))[TURTLE] == "confirmed"


def test_a_concept_that_changed_is_tried_at_once_and_one_that_is_forced_too(shared):
    store = open_store(shared)
    add_back = shared.concepts_dir / BAD / "images/02.png"
    add_back.write_bytes((shared.concepts_dir / TURTLE / "images/02.png").read_bytes())
    summary = night("--force", DIVERGES, code=1)
    assert results(summary) == {DIVERGES: "failed", BAD: "trained"}
    assert "failure 3 in a row, tried again in 4 nights" in said(summary, DIVERGES)
    assert store.record(failures_path(shared, BAD)) is None, "what is trained has no failures any more"


def test_an_outage_is_told_and_not_counted_against_the_concept(shared, monkeypatch):
    def away(*_: object, **__: object) -> None:
        raise StoreFailed("store s3://away does not answer", retryable=False)

    monkeypatch.setattr(model.training.train, "train_stage", away)
    noted = open_store(shared).record(failures_path(shared, DIVERGES)).content
    summary = night("--force", DIVERGES, code=1)
    assert results(summary) == {DIVERGES: "failed"}
    assert said(summary, DIVERGES).startswith("store s3://away does not answer (not counted")
    assert open_store(shared).record(failures_path(shared, DIVERGES)).content == noted


def test_a_night_without_changes_runs_nothing_and_holds_the_registry_against_the_ledger(shared):
    before = {name: len(runs_of(name)) for name in (TURTLE, BAD, DIVERGES)}
    place = open_production(shared)
    assert append(place, replace(record(1, "a"), concept=TURTLE, model=f"prod.concept.{TURTLE}"))
    try:
        summary = night(code=0)
    finally:
        place.delete(record_path(TURTLE, 1))
    assert summary["warnings"] == [f"prod.concept.{TURTLE}: the production registry has no such model"]
    assert (results(summary), summary["up_to_date"]) == ({DIVERGES: "waiting"}, 2)
    assert {name: len(runs_of(name)) for name in before} == before


def test_a_version_that_vanished_is_registered_again_without_training(shared):
    client = connect(shared)
    client.delete_model_version("concept.turtle", "1")
    done = command("plan", TURTLE, "--json")
    (plan,) = json.loads(done.stdout)["concepts"]
    assert (plan["causes"], plan["runs"]) == (["registered version missing"], ["register"])
    summary = night(code=0)
    (line,) = [line for line in summary["concepts"] if line["concept"] == TURTLE]
    assert (line["result"], line["version"]) == ("trained", 2)
    assert line["verdict"]["passed"]


def test_a_record_that_is_lost_is_written_again_without_training(shared):
    store = open_store(shared)
    content = store.record(last_training_path(TURTLE)).content
    for path in (last_training_path(TURTLE), *record_paths(store, shared, TURTLE)):
        store.delete_record(path)
    assert json.loads(command("plan", TURTLE, "--json").stdout)["concepts"][0]["state"] == "up to date"
    tried = len(runs_of(TURTLE))
    night(code=0)
    again = LastTraining.from_json(store.record(last_training_path(TURTLE)).content)
    assert again == LastTraining.from_json(content), "the same but for what it followed, which is lost"
    assert len(runs_of(TURTLE)) == tried


def test_a_worse_version_is_held_back_with_its_numbers(shared):
    """A champion whose evaluation says that it is far better; the next version is measured against it."""
    client = connect(shared)
    client.set_registered_model_alias("concept.turtle", "champion", "2")
    store, trained = open_store(shared), read_last_training(open_store(shared), shared, TURTLE)
    evaluation = store.get("evaluate", trained.stage("evaluate").key)
    better = json.loads(store.file(evaluation, "scores.json").read_text())
    for name in ("clip_i", "clip_t"):
        better[name] = {"mean": 0.99, "low": 0.98, "high": 1.0}
        for prompt in better["prompts"]:
            prompt["pictures"][name] = [0.99] * len(prompt["pictures"][name])
    publish_as(store, shared.home / "scratch", evaluation, better, "b" * 64)
    client.set_model_version_tag("concept.turtle", "2", "conceptbooth.stage.evaluate", "b" * 64)
    write_params(shared.root, unet={"max_train_steps": 3})
    summary = night("--max-concepts", "2", code=1)
    assert results(summary) == {DIVERGES: "failed", TURTLE: "trained", BAD: "deferred"}, "oldest first, new ones before"
    (line,) = [line for line in summary["concepts"] if line["concept"] == TURTLE]
    verdict = line["verdict"]
    assert (verdict["passed"], verdict["champion"]) == (False, 2)
    failed = [check for check in verdict["checks"] if not check["passed"]]
    assert {check["gate"] for check in failed} == {f"not_worse_than_champion.{name}" for name in ("clip_i", "clip_t")}
    assert "against 0.99 [0.98, 1.00] of the champion (version 2): difference -" in failed[0]["said"]
    assert failed[0]["said"].endswith("] over the same 2 prompts")
    assert "stage 3: max_train_steps 2 -> 3" in line["why"]


def publish_as(store, folder: Path, manifest, scores: dict, key: str) -> None:
    """An evaluation like another one, with other scores."""
    from dataclasses import fields

    from tasks.store.manifest import Facts

    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(scores))
    facts = {field.name: getattr(manifest, field.name) for field in fields(Facts)} | {"key": key}
    store.publish(folder, Facts(**facts))


def test_a_concept_whose_training_took_a_night_down_comes_last_and_only_once(shared, monkeypatch):
    """As where Linux ends a process that wants too much memory: there is no outcome, and nobody to note one."""
    write_params(shared.root, unet={"max_train_steps": 4})

    def would_train() -> list[str]:
        return [each["concept"] for each in json.loads(command("nightly", "--dry-run", "--json").stdout)["would_train"]]

    before = would_train()
    first, *others = before
    assert others, "several are out of date"

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    (job, *_) = plan_jobs(shared, [first])
    with monkeypatch.context() as patch:
        patch.setattr("flows.night.dispatch.train_here", die)
        child = multiprocessing.get_context("fork").Process(
            target=lambda: list(in_this_process(Silence())([job], None))
        )
        child.start()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    assert would_train() == [*others, first]
    summary = night(code=1)
    assert [warning for warning in summary["warnings"] if warning.startswith(f"{first}: a night before was killed")]
    assert not list((shared.home / "underway").iterdir()), "what has an outcome is suspected of nothing"


def test_with_the_registry_down_nothing_is_begun(shared, monkeypatch):
    monkeypatch.setenv("CONCEPTBOOTH_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tried = {name: len(runs_of(name)) for name in (TURTLE, BAD, DIVERGES)}
    summary = night(code=1)
    assert "127.0.0.1:9 does not answer" in "".join(summary["troubles"])
    assert summary["concepts"] == [] and "nothing was trained" in summary["text"]
    assert {name: len(runs_of(name)) for name in tried} == tried
    done = command("plan")
    assert done.exit_code == 0 and "the registry is not part of this plan" in done.stderr


def test_the_summary_is_sent_and_the_secrets_are_kept(shared, monkeypatch):
    monkeypatch.setattr("flows.output.webhook.PAUSES", (0.0, 0.0, 0.0))
    with WebhookReceiver(failures=2) as receiver:
        secrets = {"CONCEPTBOOTH_NOTIFY_URL": receiver.url, "CONCEPTBOOTH_NOTIFY_TOKEN": "t0p-s3cret"}
        done = command("nightly", "--now", "--json", "--verbose", **secrets)
        assert done.exit_code == 1, done.output
    assert receiver.tokens == ["Bearer t0p-s3cret"] * 3
    (sent,) = receiver.bodies
    told = json.loads(done.stdout)
    assert sent["concepts"] == told["concepts"] and told["warnings"] == []
    assert sent["failed"] and f"{DIVERGES}: stage 'embedding'" in sent["text"]
    kept = [path for path in (*shared.home.rglob("*"), *(shared.root / "results").rglob("*")) if path.is_file()]
    for secret in ("s3cret-path", "t0p-s3cret"):
        assert secret not in done.output
        assert not [path for path in kept if secret.encode() in path.read_bytes()]
        assert secret not in json.dumps(nights(shared)[0].data.tags)


@pytest.mark.parametrize(
    "where", ["flows.night.nightly.choose", "flows.night.nightly.nightly", "flows.night.nightly.record_night"]
)
def test_what_nobody_foresaw_ends_a_night_with_summary_and_notice_all_the_same(shared, monkeypatch, where):
    """Inside the flow, while Prefect begins it, and at its end."""

    def odd(*_: object, **__: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(where, odd)
    with WebhookReceiver(failures=0) as receiver:
        done = command("nightly", "--now", "--json", CONCEPTBOOTH_NOTIFY_URL=receiver.url)
    summary, (sent,) = json.loads(done.stdout), receiver.bodies
    told = "".join([*summary["troubles"], *summary["warnings"]])
    assert "unexpected KeyError: 'odd'; details in " in told
    assert "odd" in Path(told.rpartition("details in ")[2]).read_text()
    at_the_end = where.endswith("record_night")
    assert (done.exit_code, sent["failed"], summary["failed"]) == ((0, False, False) if at_the_end else (1, True, True))
    assert sent["text"] == summary["text"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/s3cret", "nonsense s3cret", "ftp://host/s3cret"])
def test_a_receiver_that_is_not_there_fails_no_night(shared, monkeypatch, url):
    from flows.output.webhook import post_summary

    problem = post_summary(Settings(root=shared.root, notify_url=url), {"text": "done"}, sleep=lambda _: None)
    assert problem is not None and "was not sent" in problem and "s3cret" not in problem

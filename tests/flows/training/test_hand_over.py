"""What one concept's flow leaves behind when it fails, and that it does the job that was planned and checked."""

import dataclasses
import errno
import shutil
from pathlib import Path

import pytest
from httpx import ConnectTimeout
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from flows.doctor.setup import diagnose
from flows.training.train_concept import train_concept
from flows.training.train_here import train_here
from model.errors import InputError, SetupError, WorkFailed
from tasks.execution.preflight import check_job
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import plan_jobs
from tasks.stages.register import register_training
from tasks.store.blobs import StoreFailed
from tests.training_project import write_concept, write_params


def test_with_the_registry_down_the_gallery_the_scores_and_the_tasks_are_there(project, prefect_url, monkeypatch):
    monkeypatch.setattr(register_training, "retry_delay_seconds", [0, 0, 0])
    # No other settings file says so: the flow takes the settings that it was handed.
    settings = project.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    (job,) = plan_jobs(settings, ["turtle"])
    outcome = train_here(job, Silence(), checked=True)
    assert outcome.error is not None and "127.0.0.1:9" in outcome.error
    assert [task.name for task in outcome.tasks] == [plan.stage for plan in job.stages]
    assert outcome.scores is not None and 0 < outcome.scores["clip_t"]["mean"] <= 1
    assert outcome.gallery_png is not None and outcome.gallery_png.is_file()
    assert outcome.gallery_html is not None and outcome.gallery_html.is_file()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (WorkFailed("the loss is no number"), "concept"),
        (ZeroDivisionError(), "concept"),
        (OSError("image file is truncated"), "concept"),
        (StoreFailed("the store does not answer", retryable=False), "world"),
        (OSError(errno.EIO, "Input/output error"), "world"),
        (ConnectTimeout("Prefect does not answer"), "world"),
    ],
)
def test_a_stage_that_fails_is_the_concept_s_fault_unless_the_world_failed(
    project, prefect_url, monkeypatch, error, fault
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("tasks.stages.prepare.local_images", fail)
    (job,) = plan_jobs(project, ["turtle"])
    assert train_here(job, Silence(), checked=True).fault == fault


def test_images_are_the_concept_s_fault_and_a_store_or_a_device_is_not(project, prefect_url, monkeypatch):
    def fault(device: str = "cpu") -> str | None:
        (job,) = plan_jobs(project.model_copy(update={"device": device}), ["turtle"])
        return train_here(job, Silence(), checked=False).fault

    assert fault(device="mps") == "world"
    (project.concepts_dir / "turtle/images/00.png").write_bytes(b"no picture")
    assert fault() == "concept"
    shutil.rmtree(project.store)
    project.store.write_text("a file where a folder should be")
    assert fault() == "world"


def test_a_flow_that_nobody_prepared_checks_before_it_works(project, prefect_url):
    write_concept(project.concepts_dir / "turtle", super_category="xylophone" * 9)
    with pytest.raises(InputError, match="xylophone"):
        train_concept("turtle", project.root)
    assert not list((project.store / "stages").glob("*"))
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert "xylophone" in run.labels["conceptbooth.error"]
    assert (run.labels["conceptbooth.fault"], run.labels["conceptbooth.tasks"]) == ("concept", "[]")


def test_images_must_not_be_shrunk_below_what_the_base_learns_from(project):
    from model.bases.base_files import base_resolution

    config = project.root / "base" / "unet" / "config.json"
    text = config.read_text()
    before = base_resolution(project.root / "base")
    write_params(project.root, prepare={"max_short_side": 64})
    plan_jobs(project, ["turtle"])
    config.write_text(text.replace('"sample_size": 8', '"sample_size": 80'))
    after = base_resolution(project.root / "base")
    assert before <= 64 < after
    with pytest.raises(InputError, match=rf"max_short_side = 64.*{after} pixels"):
        plan_jobs(project, ["turtle"])
    told = next(finding for finding in diagnose(project, seconds=30) if finding.what == "base model")
    assert told.state == "problem" and f"{after} pixels" in told.found


def test_nor_below_what_a_base_on_the_hub_learns_from(project, monkeypatch):
    from model.bases.base import load_base

    folder = project.root / "base"
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 8', '"sample_size": 80'))
    write_params(project.root, base="somebody/tiny", base_revision="1" * 40, prepare={"max_short_side": 64})
    (job,) = plan_jobs(project, ["turtle"])
    monkeypatch.setattr(
        "tasks.execution.loaded_base.load_base", lambda _id, _commit, device: load_base(str(folder), device=device)
    )
    with pytest.raises(SetupError, match="max_short_side = 64: base model 'somebody/tiny' learns from"):
        check_job(job)


def test_a_trace_that_cannot_be_kept_is_shown_and_the_next_concept_runs(project, monkeypatch):
    (job,) = plan_jobs(project, ["turtle"])
    blocked: Path = project.root / "blocked"
    blocked.write_text("")
    monkeypatch.setattr("flows.training.train_concept.train_concept", lambda *_: 1 / 0)
    outcome = train_here(
        dataclasses.replace(job, settings=project.model_copy(update={"home": blocked})), Silence(), checked=True
    )
    assert outcome.error is not None
    assert "ZeroDivisionError" in outcome.error and "Not a directory" in outcome.error
    assert "Traceback" in outcome.error
    kept = train_here(job, Silence(), checked=True).error
    assert kept is not None and (project.home / "logs").is_dir() and "Traceback" not in kept

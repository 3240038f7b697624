"""What one concept's flow leaves behind when it fails, and that it does the job that was planned and checked."""

import dataclasses
from pathlib import Path

import pytest

from flows.dispatch import train_here
from flows.train_concept import train_concept
from model.errors import InputError
from tasks.jobs import plan_jobs
from tasks.reporting import Silence
from tests.training_project import write_concept, write_params


def test_with_the_registry_down_the_gallery_the_scores_and_the_tasks_are_there(project, prefect_url):
    # No other settings file says so: the flow takes the settings that it was handed.
    settings = project.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    (job,) = plan_jobs(settings, ["turtle"])
    outcome = train_here(job, Silence(), checked=True)
    assert outcome.error is not None and "127.0.0.1:9" in outcome.error
    assert [task.name for task in outcome.tasks] == [plan.stage for plan in job.stages]
    assert outcome.scores is not None and 0 < outcome.scores["clip_t"]["mean"] <= 1
    assert outcome.gallery_png is not None and outcome.gallery_png.is_file()
    assert outcome.gallery_html is not None and outcome.gallery_html.is_file()


def test_a_flow_that_nobody_prepared_checks_before_it_works(project, prefect_url):
    write_concept(project.concepts_dir / "turtle", super_category="xylophone" * 9)
    with pytest.raises(InputError, match="xylophone"):
        train_concept("turtle", project.root)
    assert not list((project.store / "stages").glob("*"))


def test_images_must_not_be_shrunk_below_what_the_base_learns_from(project):
    from model.base_files import base_resolution

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


def test_a_trace_that_cannot_be_kept_is_shown_and_the_next_concept_runs(project, monkeypatch):
    (job,) = plan_jobs(project, ["turtle"])
    blocked: Path = project.root / "blocked"
    blocked.write_text("")
    monkeypatch.setattr("flows.train_concept.train_concept", lambda *_: 1 / 0)
    outcome = train_here(
        dataclasses.replace(job, settings=project.model_copy(update={"home": blocked})), Silence(), checked=True
    )
    assert outcome.error is not None
    assert "ZeroDivisionError" in outcome.error and "Not a directory" in outcome.error
    assert "Traceback" in outcome.error
    kept = train_here(job, Silence(), checked=True).error
    assert kept is not None and (project.home / "logs").is_dir() and "Traceback" not in kept

"""MLflow while a training runs: one run from its first stage to its registration, whatever stops it on the way."""

import json
from collections import Counter

import pytest

from tasks.execution.reporting import Silence
from tasks.files.process import this_process
from tasks.jobs.jobs import plan_jobs
from tasks.project.settings import Settings
from tasks.registry.live_runs import PROCESS_TAG, LiveRuns, end_killed_runs
from tasks.registry.registration import register
from tasks.registry.run_facts import ENDED_TAG, PARENT_TAG
from tasks.tracking.client import connect, experiment_id
from tests.made_stages import MadeStages
from tests.training_project import write_params

STEPS = 12


class Stopper(Silence):
    """Presses Ctrl-C at a step of the second stage."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.title, self.warnings = at, "", []

    def begin(self, title, total, unit):
        self.title = title

    def advance(self, done, note=""):
        if done == self.at and "train-2" in self.title:
            raise KeyboardInterrupt

    def warn(self, message):
        self.warnings.append(message)


def made(settings, at: int | None = None) -> tuple[MadeStages, LiveRuns]:
    (job,) = plan_jobs(settings, ["turtle"])
    reporter = Stopper(at)
    stages = MadeStages(job, reporter)
    stages.context.journal = journal = LiveRuns(job, reporter.warn)
    return stages, journal


def runs(client, settings, parent=None):
    """Those of trainings, or of the stages of one."""
    found = client.search_runs([experiment_id(client, settings)])
    return [run for run in found if run.data.tags.get(PARENT_TAG) == parent]


def steps_of(client, run, name="loss"):
    return sorted(point.step for point in client.get_metric_history(run.info.run_id, name))


@pytest.fixture
def settings(project) -> Settings:
    fields = {"max_train_steps": STEPS, "batch_size": 4}
    write_params(project.root, embedding=fields, cross_attention=fields, unet=fields)
    return Settings(root=project.root, training_pictures="6 steps", checkpoint_every="5 steps")


def test_a_training_has_one_run_from_its_start_that_a_stop_marks_and_the_next_try_goes_on_with(settings):
    client = connect(settings)
    first, journal = made(settings, at=11)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    journal.close(KeyboardInterrupt())

    (run,) = runs(client, settings)
    assert (run.info.run_name, run.info.status) == ("turtle, in training", "KILLED")
    assert "`conceptbooth train turtle` goes on" in run.data.tags[ENDED_TAG]
    assert run.data.params["unet.max_train_steps"] == str(STEPS) and run.data.tags["mlflow.user"]
    stages = sorted(runs(client, settings, run.info.run_id), key=lambda stage: stage.info.run_name)
    assert [(stage.info.run_name, stage.info.status) for stage in stages] == [
        ("turtle: 1 embedding", "FINISHED"),
        ("turtle: 2 cross attention", "KILLED"),
    ]
    assert steps_of(client, stages[0]) == [1, 10, STEPS] and steps_of(client, stages[1]) == [1, 10]

    second, journal = made(settings)
    second.run()
    journal.close()
    (live,) = runs(client, settings)
    assert (live.info.run_id, live.info.status) == (run.info.run_id, "RUNNING")
    assert ENDED_TAG not in live.data.tags
    registered = register(settings, second.job.concept, second.manifests)
    journal.settle(registered.run_id)

    (whole,) = runs(client, settings)
    assert (whole.info.run_id, whole.info.status, whole.info.run_name) == (run.info.run_id, "FINISHED", "turtle v1")
    assert whole.info.start_time == run.info.start_time and registered.run_id == run.info.run_id
    stages = runs(client, settings, run.info.run_id)
    assert sorted(stage.info.run_name for stage in stages) == [
        "turtle v1: 1 embedding",
        "turtle v1: 2 cross attention",
        "turtle v1: 3 unet",
    ]
    for stage in stages:
        assert stage.info.status == "FINISHED"
        for name in ("loss", "samples_per_second"):
            assert steps_of(client, stage, name) == [1, 10, STEPS]  # none twice
        names = [entry.path for entry in client.list_artifacts(stage.info.run_id, "images")]
        shown = Counter(name.removeprefix("images/").split("+")[0] for name in names if name.endswith(".png"))
        assert shown == {"a photo of a V": 2, "a photo of a V in the snow": 2}, names
    page = second.store.file(second.manifests["gallery"], "index.html").read_text()
    assert page.count('class="row strip"') == 3 * 2 and page.count('after step 6" width') == 3 * 2
    assert first.reporter.warnings == second.reporter.warnings == []


def test_a_run_whose_process_was_killed_is_marked_so_by_the_next_command(settings):
    client = connect(settings)
    stages, journal = made(settings)
    stages.make(stages.job.stages[0])
    journal.close()
    (run,) = runs(client, settings)
    experiment = experiment_id(client, settings)
    end_killed_runs(client, settings, experiment)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"  # this process lives

    gone = {**this_process(), "started": "1"}
    client.set_tag(run.info.run_id, PROCESS_TAG, json.dumps(gone))
    end_killed_runs(client, settings, experiment)
    killed = client.get_run(run.info.run_id)
    assert killed.info.status == "KILLED" and "its process was killed" in killed.data.tags[ENDED_TAG]


def test_an_mlflow_that_is_away_is_told_once_and_costs_no_training(settings):
    nowhere = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    stages, journal = made(nowhere)
    stages.run("prepare", "train-1-embedding")
    journal.close()
    (said,) = stages.reporter.warnings
    assert said.startswith("MLflow shows no more of this training while it runs") and "the training goes on" in said

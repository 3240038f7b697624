"""The Prefect task, on a real Prefect API."""

from types import SimpleNamespace

import pytest
from prefect import flow

import tasks.stages.register
from model.errors import InputError
from tasks.execution.reporting import Silence
from tasks.execution.stage_context import StageContext
from tasks.project.settings import Settings
from tasks.registry.reference import CANDIDATE
from tasks.registry.registration import register
from tasks.registry.versions import versions
from tasks.stages.register import register_once, register_training
from tasks.tracking.client import TrackingUnreachable, connect
from tests.tasks.finished_training import concept, project, training

pytestmark = pytest.mark.usefixtures("prefect_url")


@pytest.fixture
def settings(tmp_path) -> Settings:
    return project(tmp_path / "project")


class Listener(Silence):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def context_for(settings: Settings) -> StageContext:
    return StageContext(SimpleNamespace(settings=settings, concept=concept(settings)), Listener())


def registering(context: StageContext, **changes: bytes):
    """What became of a finished training, in a flow of its own."""
    manifests = training(context.job.settings, **changes)
    receipts = [{"stage": stage, "key": manifest.key} for stage, manifest in manifests.items()]

    @flow
    def registration():
        return register_once(context, receipts)

    return registration()


def test_a_second_flow_remembers_the_version_and_looks_whether_it_is_there(settings):
    context = context_for(settings)
    first, remembered = registering(context)
    assert (first.version, first.created, remembered) == (1, True, False)
    again, remembered = registering(context_for(settings))
    assert (again.version, again.created, remembered) == (1, False, True)
    assert context.reporter.warnings == []

    connect(settings).delete_model_version("concept.turtle", "1")
    context = context_for(settings)
    made, remembered = registering(context)
    assert (made.created, remembered) == (True, False)
    assert context.reporter.warnings == [
        f"version 1 of concept.turtle is gone from {settings.mlflow_tracking_uri}; registering again"
    ]
    assert len(versions(connect(settings), "turtle")) == 1
    assert registering(context_for(settings))[1]


def test_a_moved_alias_is_taken_back_by_what_was_trained_last(settings):
    registering(context_for(settings))
    client = connect(settings)
    client.delete_registered_model_alias("concept.turtle", CANDIDATE)
    registered, remembered = registering(context_for(settings))
    assert (registered.version, registered.created, remembered) == (1, False, True)
    assert client.get_model_version_by_alias("concept.turtle", CANDIDATE).version == 1


def test_a_redrawn_gallery_is_not_remembered(settings):
    registering(context_for(settings))
    context = context_for(settings)
    registered, remembered = registering(context, page=b"<html>another licence</html>")
    assert (registered.version, registered.redrawn, remembered) == (1, True, False)


def test_what_one_registry_has_another_does_not(settings, tmp_path):
    registering(context_for(settings))
    other = project(tmp_path / "other")
    registered, remembered = registering(context_for(other))
    assert (registered.created, remembered) == (True, False)


@pytest.fixture
def attempts(monkeypatch) -> list[object]:
    """Failures that the next calls of `register` meet; waiting between attempts is left out."""
    failures: list[object] = []
    made: list[object] = []

    def failing(*arguments):
        made.append(arguments)
        if failures:
            raise failures.pop(0)
        return register(*arguments)

    monkeypatch.setattr(tasks.stages.register, "register", failing)
    monkeypatch.setattr(
        tasks.stages.register, "register_training", register_training.with_options(retry_delay_seconds=[0, 0, 0])
    )
    return SimpleNamespace(failures=failures, made=made)


def test_an_outage_that_passes_is_waited_for(settings, attempts):
    attempts.failures += [TrackingUnreachable("away", "start it"), TrackingUnreachable("still away")]
    context = context_for(settings)
    registered, _ = registering(context)
    assert registered.created
    assert len(attempts.made) == 3
    assert context.reporter.warnings == [
        "away; trying again in 0 s (2 of 4)",
        "still away; trying again in 0 s (3 of 4)",
    ]


def test_an_outage_that_stays_says_how_to_go_on(settings, attempts):
    away = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(TrackingUnreachable, match=r"kept in the store; run `conceptbooth train turtle` again once"):
        registering(context_for(away))
    assert len(attempts.made) == 4


def test_bad_input_is_not_tried_again(settings, attempts):
    attempts.failures += [InputError("wrong")]
    with pytest.raises(InputError):
        registering(context_for(settings))
    assert len(attempts.made) == 1

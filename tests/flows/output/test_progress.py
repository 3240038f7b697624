"""What is said about progress; the clock is the test's own."""

import io

import pytest
from rich.console import Console

from flows.output.progress import Pace, PageReporter, TerminalReporter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_unit_with_its_warm_up_does_not_count():
    clock = Clock()
    pace = Pace(10, clock)
    clock.now = 60  # loading and compiling
    pace.advance(1)
    assert pace.seconds_left() is None and str(pace) == ""
    clock.now = 62
    pace.advance(2)
    assert pace.seconds_left() == 16 and str(pace) == "0:16 left"
    clock.now = 78
    pace.advance(10)
    assert pace.seconds_left() == 0


@pytest.mark.parametrize("seconds_to_write_one", [0.001, 0.0066, 0.03])
def test_pictures_that_are_finished_together_count_as_one(seconds_to_write_one):
    clock = Clock()
    pace = Pace(64, clock)
    for began, first, left in ((40, 1, None), (50, 17, 20), (60, 33, 10)):
        clock.now = began
        for done in range(first, first + 16):
            pace.advance(done)
            found = pace.seconds_left()
            if left is None:
                assert found is None
            else:
                assert left - 0.1 < found < left + 0.1, "also before the rest of the batch is told"
            clock.now += seconds_to_write_one


def test_steps_that_are_quicker_than_writing_a_picture_have_a_pace_too():
    clock = Clock()
    pace = Pace(500, clock)
    for step in range(1, 201):
        clock.now += 0.05
        pace.advance(step)
    assert 12 < pace.seconds_left() < 16, "15, of which a burst may count as done"


def test_without_a_terminal_a_line_every_ten_seconds():
    clock, output = Clock(), io.StringIO()
    reporter = TerminalReporter(Console(file=output, width=200), clock)
    reporter.begin("turtle train-1-embedding", 60, "steps")
    for step in range(1, 61):
        clock.now += 0.5
        reporter.advance(step, f"loss {1 / step:.2f}")
    reporter.end()
    reporter.tell("turtle train-1-embedding: made in 30.0 s")
    reporter.warn("odd")
    assert output.getvalue().splitlines() == [
        "turtle train-1-embedding: 60 steps",
        "turtle train-1-embedding: 20 of 60 steps, loss 0.05, 0:20 left",
        "turtle train-1-embedding: 40 of 60 steps, loss 0.03, 0:10 left",
        "turtle train-1-embedding: 60 of 60 steps, loss 0.02, 0:00 left",
        "turtle train-1-embedding: made in 30.0 s",
        "warning: odd",
    ]


def test_on_a_terminal_a_bar_that_goes_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    output = io.StringIO()
    reporter = TerminalReporter(Console(file=output, force_terminal=True, width=100))
    for title in ("one", "two"):
        reporter.begin(title, 2, "steps")
        reporter.advance(1, "loss 0.5")
        reporter.end()
    shown = output.getvalue()
    assert all(part in shown for part in ("one", "two", "1/2", "loss 0.5"))


def test_an_artifact_on_prefect_s_pages_shows_how_far_the_work_is(prefect_url):
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    clock, seen, warnings = Clock(), [], []

    def artifact():
        with get_client(sync_client=True) as client:
            key = ArtifactFilterKey(any_=["my-turtle-train-1-embedding"])
            (found,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
            return found

    @task
    def work() -> None:
        reporter = PageReporter(warnings.append, clock)
        reporter.begin("my_turtle train-1-embedding", 10, "steps")
        for step in (1, 2, 3, 10):
            clock.now += 2
            reporter.advance(step, f"loss 0.{step}")
            seen.append(artifact().data)
        reporter.end()

    @flow
    def run() -> None:
        work()

    run()
    assert seen == [0, 20, 20, 100] and warnings == []
    assert artifact().type == "progress" and "10 steps, loss 0.10" in artifact().description


def test_pages_that_are_gone_are_told_once_and_hold_nothing_up():
    from prefect.settings import temporary_settings

    warnings: list[str] = []
    with temporary_settings({"api.url": "http://127.0.0.1:9/api", "client.max_retries": 0}):
        reporter = PageReporter(warnings.append, Clock())
        reporter.begin("turtle train-1-embedding", 10, "steps")
        reporter.advance(10)
        reporter.end()
        reporter.begin("turtle train-2-cross_attention", 10, "steps")
    (said,) = warnings
    assert "the work goes on" in said

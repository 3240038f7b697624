"""What a run came to and says of itself counts, not what the dispatcher thought of it before."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Cancelling, Completed, Failed, Pending, Scheduled

from flows.night.dispatch_workers import Patience, _DispatchedJob, _Night
from flows.training.worker_protocol import expectation
from model.errors import WorkFailed
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import Job, plan_jobs
from tests.training_project import add_concept

NOBODY = "http://127.0.0.1:9/api"


@pytest.mark.parametrize(("end", "told"), [(Completed(), "Prefect calls it completed"), (Cancelled(), "too slow")])
def test_a_run_that_completes_while_it_is_cancelled_is_looked_at_as_completed(project, end, told):
    (job,) = plan_jobs(project, ["turtle"])
    dispatched, run = _DispatchedJob(job), FlowRun(flow_id=uuid4(), state=end)
    dispatched.given_up = ("too slow", 0.0)
    outcome = _Night(project, Silence(), Patience(), None)._outcome(dispatched, run)  # the store has no record of it
    assert outcome.error.startswith(told)


def test_a_concept_that_cannot_be_handed_out_stops_no_other_and_a_server_that_stays_away_does(project, monkeypatch):
    add_concept(project.root, "cup", 20)
    jobs, settings = plan_jobs(project, ["turtle", "cup"]), project.model_copy(update={"prefect_api_url": NOBODY})
    monkeypatch.setattr("flows.night.dispatch_workers._unfinished", lambda *_: {})

    def odd(job: Job, **options: bool) -> dict[str, Any]:
        return 1 / 0 if job.concept.name == "turtle" else expectation(job, **options)

    monkeypatch.setattr("flows.night.dispatch_workers.expectation", odd)
    outcomes = _Night(settings, Silence(), Patience(look=0.01, server=0.05), None)._hand_out(jobs, ())
    outcome = next(outcomes)
    assert (outcome.concept, outcome.fault) == ("turtle", "world")
    assert outcome.error.startswith("it could not be handed to Prefect: unexpected ZeroDivisionError")
    with pytest.raises(WorkFailed, match=f"{NOBODY} has not answered for"):
        next(outcomes)


def test_a_run_that_went_back_into_the_queue_waits_for_a_worker_again(project):
    (job,) = plan_jobs(project, ["turtle"])
    night, dispatched = _Night(project, Silence(), Patience(), None), _DispatchedJob(job)
    run = FlowRun(flow_id=uuid4(), state=Pending())
    night.dispatched[run.id] = dispatched
    waits = []
    for run.state in (Pending(), Scheduled(), Pending(), Cancelling()):
        assert night._look(run.id, run) is None
        waits.append(dispatched.waits)
    assert waits == [False, True, False, False]
    assert dispatched.given_up is not None and dispatched.given_up[0] == "cancelled in Prefect"


@pytest.mark.parametrize(
    ("labels", "error", "fault"),
    [
        ({"error": "the loss is no number", "fault": "concept"}, "the loss is no number", "concept"),
        ({"error": "the store does not answer", "fault": "world"}, "the store does not answer", "world"),
        ({}, "ImportError: no torch", "world"),
    ],
)
def test_a_failed_run_is_the_concept_s_fault_only_where_it_says_so(project, labels, error, fault):
    (job,) = plan_jobs(project, ["turtle"])
    said = {f"conceptbooth.{name}": value for name, value in labels.items()}
    state = Failed(message="Flow run encountered an exception: ImportError: no torch")
    run = FlowRun(flow_id=uuid4(), state=state, labels=said)
    outcome = _Night(project, Silence(), Patience(), None)._outcome(_DispatchedJob(job), run)
    assert (outcome.error, outcome.fault) == (error, fault)

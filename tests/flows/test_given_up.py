"""What a run came to and says of itself counts, not what the dispatcher thought of it before."""

from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Failed

from flows.dispatch_deployed import Patience, _Errand, _Night
from tasks.jobs import plan_jobs
from tasks.reporting import Silence


@pytest.mark.parametrize(("end", "told"), [(Completed(), "Prefect calls it completed"), (Cancelled(), "too slow")])
def test_a_run_that_completes_while_it_is_cancelled_is_looked_at_as_completed(project, end, told):
    (job,) = plan_jobs(project, ["turtle"])
    errand, run = _Errand(job), FlowRun(flow_id=uuid4(), state=end)
    errand.given_up = ("too slow", 0.0)
    outcome = _Night(project, Silence(), Patience(), None)._outcome(errand, run)  # the store has no record of it
    assert outcome.error.startswith(told)


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
    outcome = _Night(project, Silence(), Patience(), None)._outcome(_Errand(job), run)
    assert (outcome.error, outcome.fault) == (error, fault)

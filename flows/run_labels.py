"""What a run on a worker came to, as labels of the run on the Prefect server: whoever asked for it reads them there."""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from httpx import HTTPError
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from flows.outcome import ConceptOutcome, TaskOutcome

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_TASKS, _ERROR, _FAULT = "conceptbooth.tasks", "conceptbooth.error", "conceptbooth.fault"


def label_run(outcome: ConceptOutcome) -> None:
    """Write on the present flow run which tasks it did, and if it failed, why and whose fault that is."""
    labels: dict[str, bool | int | float | str] = {_TASKS: json.dumps([asdict(task) for task in outcome.tasks])}
    if outcome.error and outcome.fault:
        labels |= {_ERROR: outcome.error, _FAULT: outcome.fault}
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(runtime.flow_run.id, labels)
    except HTTPError as error:  # how the run ends says more than its labels
        get_run_logger().warning("this run carries no labels: %s", error)


def with_labels(outcome: ConceptOutcome, run: "FlowRun") -> ConceptOutcome:
    """The outcome with what the run has said of itself, as far as it came to do that."""
    tasks = tuple(TaskOutcome(**task) for task in json.loads(str(run.labels.get(_TASKS, "[]"))))
    if run.labels.get(_FAULT) == "concept":
        outcome = replace(outcome, fault="concept")
    if error := run.labels.get(_ERROR):
        outcome = replace(outcome, error=str(error))
    return replace(outcome, tasks=tasks)

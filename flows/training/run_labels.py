"""What a run says of itself, as labels on the Prefect server: whoever asked a worker for it reads them there."""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from httpx import HTTPError
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from flows.training.outcome import ConceptOutcome, TaskOutcome

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_TASKS, _ERROR, _FAULT = "conceptbooth.tasks", "conceptbooth.error", "conceptbooth.fault"


def label_run(outcome: ConceptOutcome) -> None:
    """Write on the present flow run which tasks it did, and if it failed, why and whose fault that is."""
    labels: dict[str, bool | int | float | str] = {_TASKS: json.dumps([asdict(task) for task in outcome.tasks])}
    if outcome.error and outcome.fault:
        labels |= {_ERROR: outcome.error, _FAULT: outcome.fault}
    write_labels(labels)


def write_labels(labels: dict[str, bool | int | float | str]) -> None:
    """Add labels to the present flow run; where the server does not take them, the log says so."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(runtime.flow_run.id, labels)
    except HTTPError as error:  # the run's work is worth more than its labels
        get_run_logger().warning("this run does not carry the labels %s: %s", ", ".join(labels), error)


def with_labels(outcome: ConceptOutcome, run: "FlowRun") -> ConceptOutcome:
    """The outcome with what the run has said of itself, as far as it came to do that."""
    tasks = tuple(TaskOutcome(**task) for task in json.loads(str(run.labels.get(_TASKS, "[]"))))
    if run.labels.get(_FAULT) == "concept":
        outcome = replace(outcome, fault="concept")
    if error := run.labels.get(_ERROR):
        outcome = replace(outcome, error=str(error))
    return replace(outcome, tasks=tasks)

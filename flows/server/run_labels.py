"""Labels on the present flow run, which whoever started it reads on the Prefect server."""

from httpx import HTTPError
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger


def write_labels(labels: dict[str, bool | int | float | str]) -> None:
    """Add labels to the present flow run; where the server does not take them, the log says so."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(runtime.flow_run.id, labels)
    except HTTPError as error:  # the run's work is worth more than its labels
        get_run_logger().warning("this run does not carry the labels %s: %s", ", ".join(labels), error)

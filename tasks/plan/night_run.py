"""What a night came to, as a run of MLflow's experiment "nightly"."""

from collections.abc import Mapping
from typing import Any

from tasks.project.settings import Settings
from tasks.tracking.client import connect, experiment_id, sorted_failures

EXPERIMENT = "nightly"


def write_night_run(
    settings: Settings,
    started: str,
    note: str,
    figures: Mapping[str, float],
    summary: Mapping[str, Any],
    *,
    failed: bool,
) -> None:
    """Write a run called after its start, with figures, a note in Markdown and summary.json.

    Raises InputError, WorkFailed.
    """
    from mlflow.entities import Metric

    client = connect(settings)
    with sorted_failures(settings):
        tags = {"mlflow.source.name": "conceptbooth nightly", "mlflow.note.content": note}
        run = client.create_run(experiment_id(client, settings, EXPERIMENT), tags=tags, run_name=started)
        now = run.info.start_time
        metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
        client.log_batch(run.info.run_id, metrics=metrics)
        client.log_dict(run.info.run_id, dict(summary), "summary.json")
        client.set_terminated(run.info.run_id, status="FAILED" if failed else "FINISHED")

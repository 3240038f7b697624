"""Where a night is written down: a table on Prefect's pages, and a run in MLflow's experiment "nightly"."""

from collections import Counter

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.night.summary import WORDS, NightSummary, table_rows
from tasks.project.settings import Settings
from tasks.tracking.client import connect, experiment_id, sorted_failures

EXPERIMENT = "nightly"
ARTIFACT = "nightly-summary"


def show_on_pages(_settings: Settings, summary: NightSummary) -> None:
    """Put the summary on Prefect's pages. Raises whatever Prefect does."""
    words = markdown(summary)
    if summary.concepts:
        create_table_artifact(table=table_rows(summary), key=ARTIFACT, description=words)
    else:
        create_markdown_artifact(words, key=ARTIFACT, description=summary.headline)


def record_night(settings: Settings, summary: NightSummary) -> None:
    """Write a run with figures and summary.json. Raises InputError, WorkFailed."""
    if summary.troubles and not summary.concepts:
        return  # most often because MLflow does not answer; the pages and the notice tell it
    from mlflow.entities import Metric

    client = connect(settings)
    with sorted_failures(settings):
        tags = {"mlflow.source.name": "conceptbooth nightly", "mlflow.note.content": markdown(summary)}
        run = client.create_run(experiment_id(client, settings, EXPERIMENT), tags=tags, run_name=summary.started)
        now = run.info.start_time
        figures = [Metric(name, value, now, 0) for name, value in _figures(summary).items()]
        client.log_batch(run.info.run_id, metrics=figures)
        client.log_dict(run.info.run_id, summary.to_json(), "summary.json")
        client.set_terminated(run.info.run_id, status="FAILED" if summary.failed else "FINISHED")


def markdown(summary: NightSummary) -> str:
    """The night for a page."""
    state = "with failures" if summary.failed else "done"
    lines = [f"**Night of {summary.started}: {state}.** {summary.headline}; {summary.seconds:.0f} s.", ""]
    lines += [f"- **{trouble}**" for trouble in summary.troubles]
    lines += [f"- {warning}" for warning in summary.warnings]
    return "\n".join(lines)


def _figures(summary: NightSummary) -> dict[str, float]:
    counts = Counter(each.result for each in summary.concepts)
    held = sum(1 for each in summary.concepts if each.verdict and not each.verdict.passed)
    return {
        **{result: float(counts[result]) for result in WORDS},
        "up_to_date": float(summary.up_to_date),
        "held_back": float(held),
        "seconds": summary.seconds,
    }

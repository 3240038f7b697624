"""Where a night is written down: a table on Prefect's pages, and a run in MLflow."""

from collections import Counter

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.night.summary import WORDS, NightSummary, table_rows
from tasks.plan.night_run import write_night_run
from tasks.project.settings import Settings

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
    write_night_run(
        settings,
        summary.started,
        markdown(summary),
        _figures(summary),
        summary.to_json(),
        failed=summary.failed,
    )


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

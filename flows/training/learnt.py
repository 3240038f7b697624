"""What a training has learnt, told on Prefect's pages: in the log of its run, and as an artifact with links."""

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.logging import get_run_logger

from flows.training.outcome import ConceptOutcome
from tasks.concepts.concepts import Concept
from tasks.figures.score_words import read_scores
from tasks.project.settings import Settings
from tasks.tracking.address import SERVER_SCHEMES, scheme_of, shown
from tasks.tracking.client import connect


def tell_what_was_learnt(settings: Settings, concept: Concept, outcome: ConceptOutcome, run_id: str) -> None:
    """Tell scores, version and where to look. A page that cannot be written is a warning: the training is done."""
    log = get_run_logger()
    readings = read_scores(outcome.scores or {})
    run = _run_page(settings, run_id)
    state = "registered now" if outcome.version_created else "registered before"
    scores = ", ".join(f"{each.name} {each.trained} (untrained base {each.base})" for each in readings)
    where = f"{run}; gallery {outcome.gallery_html}" if run else f"gallery {outcome.gallery_html}; `conceptbooth ui`"
    log.info("%s v%s, %s: %s; %s", concept.name, outcome.version, state, scores, where)
    try:
        _show(concept, outcome, readings, run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the training is done and registered
        log.warning("Prefect's pages do not show what was learnt: %s: %s", type(error).__name__, error)


def _show(concept: Concept, outcome: ConceptOutcome, readings: Any, run: str | None) -> None:
    lines = [f"**{concept.name} v{outcome.version}** ({outcome.model_name}, base {outcome.base})", ""]
    lines += ["| score | trained | untrained base | |", "|---|---|---|---|"]
    lines += [f"| {each.name} | {each.trained} | {each.base} | {each.meaning} |" for each in readings]
    gallery = f"{run}/artifacts/gallery/index.html" if run else None
    if run and gallery:
        lines += ["", f"[run in MLflow]({run}) · [gallery]({gallery})"]
        create_link_artifact(run, link_text=f"{concept.name} v{outcome.version}", key=f"{concept.artifact_key}-mlflow")
        create_link_artifact(gallery, link_text="gallery", key=f"{concept.artifact_key}-gallery")
    else:
        lines += ["", f"Gallery: `{outcome.gallery_html}`; `conceptbooth ui` shows the run in MLflow."]
    create_markdown_artifact("\n".join(lines), key=f"{concept.artifact_key}-learnt", description=lines[0])


def _run_page(settings: Settings, run_id: str) -> str | None:
    """Address of the run on MLflow's pages; None for an embedded database, which has no pages by itself."""
    if scheme_of(settings.mlflow_tracking_uri) not in SERVER_SCHEMES:
        return None
    experiment = connect(settings).get_run(run_id).info.experiment_id
    return f"{shown(settings).rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"

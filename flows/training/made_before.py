"""Concepts of which everything is there already: told from store and registry, before Prefect or torch is imported."""

import time
from collections.abc import Iterable

from flows.training.outcome import ConceptOutcome, TaskOutcome
from flows.training.verdict import judge_of
from tasks.execution.kept_models import keep_models
from tasks.galleries.versions import show_versions
from tasks.plan.plan import REGISTER, ConceptPlan, make_plan
from tasks.project.settings import Settings
from tasks.registry.versions import model_name
from tasks.registry.whole_version import is_whole
from tasks.store.artefacts import CONTACT_SHEET, PAGE
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Store
from tasks.tracking.client import TrackingUnreachable


def made_before(settings: Settings, store: Store, names: Iterable[str]) -> dict[str, ConceptOutcome]:
    """The outcomes of those concepts for which a training would do nothing; none where MLflow does not answer.

    A training asks it again, more patiently, and keeps what it has made until then.

    Raises:
        StoreFailed: the store cannot be read.
    """
    try:
        plan = make_plan(settings, names)
    except TrackingUnreachable:
        return {}
    found = {concept.concept: _outcome(settings, store, concept) for concept in plan.of("up to date")}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _outcome(settings: Settings, store: Store, plan: ConceptPlan) -> ConceptOutcome | None:
    """None where something is missing or damaged after all: the training puts that right."""
    job, version, started = plan.job, plan.version, time.monotonic()
    if job is None or version is None or not is_whole(settings, version):
        return None
    stages = {stage.stage: stage.key for stage in job.stages}
    try:
        found = {stage: store.use(stage, key) for stage, key in stages.items()}  # as for any run: no sweep takes them
        scores = load_scores(store, found["evaluate"])
        folder = show_versions(settings, store, plan.concept, version.version, judge_of(settings))
    except Damaged:
        return None
    keep_models(store, job, job.recipe.models)  # of what was made before stores kept them
    return ConceptOutcome(
        concept=plan.concept,
        base=job.recipe.base.reference,
        tasks=tuple(TaskOutcome(name=name, state="cached", seconds=0.0) for name in (*stages, REGISTER)),
        seconds=time.monotonic() - started,
        scores=scores,
        model_name=model_name(plan.concept),
        version=version.version,
        gallery_png=folder / CONTACT_SHEET,
        gallery_html=folder / PAGE,
    )

"""`conceptbooth compare`: methods side by side on the same concepts, prompts and seeds; nothing is registered."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.compare_record import record_comparison
from flows.console import notices
from flows.prefect_api import flows_run_at, prefect_api
from flows.progress import TerminalReporter
from model.errors import InputError
from tasks.artefacts import GENERATIONS, IMAGES
from tasks.checks import check_jobs
from tasks.hashing import digest_of
from tasks.jobs import Job
from tasks.look_alikes import find_look_alikes
from tasks.manifest import Manifest
from tasks.method_cells import embed_look_alikes, read_cell
from tasks.method_choice import Drawing, comparison_jobs, without_gallery
from tasks.method_plane import draw_plane
from tasks.method_sheet import draw_method_sheet
from tasks.method_table import MethodTable
from tasks.pictures import picture, pictures
from tasks.settings import Settings
from tasks.store import Store, open_store
from tasks.tracking import import_mlflow

TABLE_JSON, TABLE_MARKDOWN, PLANE = "comparison.json", "table.md", "plane.png"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison that is done."""

    table: MethodTable
    folder: Path
    """Table, plane and sheets."""
    run_id: str
    """MLflow's run that holds it all."""


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What was done, by concept and label."""

    jobs: Mapping[tuple[str, str], Job]
    look_alikes: Path | None
    evaluations: Mapping[tuple[str, str], Manifest]


def run_compare(
    settings: Settings,
    names: Sequence[str],
    methods: Sequence[str],
    drawing: Drawing,
    *,
    look_alikes: Path | None = None,
    train: bool = True,
    verbose: bool = False,
) -> Comparison:
    """Train and evaluate what is missing of each concept by each method, and put the results side by side.

    Raises:
        InputError: something is wrong with what was asked for, all of it together; no work was started.
        WorkFailed: a stage failed; what was finished is in the store, and the same call carries on.
    """
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "NOTSET" if verbose else "CRITICAL"
    found = comparison_jobs(settings, names, methods, drawing)
    jobs = {cell: without_gallery(job) for cell, job in found.items()}
    store = open_store(settings)
    store.probe()
    if not train:
        _refuse_untrained(store, jobs)
    for job in {name: job for (name, _), job in jobs.items()}.values():
        find_look_alikes(settings, job, look_alikes)  # what cannot be read is said before anything is trained
    with prefect_api(settings) as api:
        check_jobs(settings, list(jobs.values()))
        import_mlflow(settings)
        with flows_run_at(api):
            from flows.compare_flow import evaluate_all  # it imports Prefect, which reads the variable above

            evaluations = evaluate_all(jobs, TerminalReporter(notices()))
    return _put_together(settings, store, _Round(jobs=jobs, look_alikes=look_alikes, evaluations=evaluations))


def _refuse_untrained(store: Store, jobs: Mapping[tuple[str, str], Job]) -> None:
    """InputError, with all of them, for what would have to be trained."""
    problems = [
        f"concept '{name}' is not trained by {label} ({', '.join(missing)}): leave --no-train out, or the method"
        for (name, label), job in jobs.items()
        if (missing := [plan.stage for plan in job.trainings if store.find(plan.stage, plan.key) is None])
    ]
    if problems:
        raise InputError(*problems)


def _put_together(settings: Settings, store: Store, work: _Round) -> Comparison:
    names = tuple(dict.fromkeys(name for name, _ in work.jobs))
    labels = tuple(dict.fromkeys(label for _, label in work.jobs))
    cells, notes = [], []
    for name in names:
        job = work.jobs[name, labels[0]]
        embedded = embed_look_alikes(job, find_look_alikes(settings, job, work.look_alikes))
        if embedded is None:
            notes.append(
                f"{name}: no identity rank, for want of look-alikes: name a folder with --look-alikes, or add other "
                f"concepts of the category '{job.concept.super_category}'"
            )
        cells += [
            read_cell(store, work.jobs[name, label], label, work.evaluations[name, label], embedded) for label in labels
        ]
    prompts = tuple(next(iter(work.jobs.values())).recipe.prompts)
    table = MethodTable(concepts=names, methods=labels, prompts=prompts, cells=tuple(cells), notes=tuple(notes))
    content = table.to_json()
    folder = settings.home / "comparisons" / digest_of(content)[:12]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / TABLE_MARKDOWN).write_text(table.to_markdown(), encoding="utf-8")
    draw_plane(table, folder / PLANE)
    for name in names:
        _draw_sheet(store, work, name, labels, folder / f"{name}.png")
    run_id = record_comparison(settings, table, work.jobs, folder)
    return Comparison(table=table, folder=folder, run_id=run_id)


def _draw_sheet(store: Store, work: _Round, name: str, labels: Sequence[str], file: Path) -> None:
    job = work.jobs[name, labels[0]]
    prepare = store.get("prepare", job.stages[0].key)
    rows = {
        label: [
            picture(store, work.evaluations[name, label], f"{GENERATIONS}/{number:02}/00.png")
            for number in range(len(job.recipe.prompts))
        ]
        for label in labels
    }
    images = pictures(store, prepare, IMAGES)
    draw_method_sheet(name, job.concept.super_category, images, job.recipe.prompts, rows).save(file, optimize=True)

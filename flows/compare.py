"""`conceptbooth compare`: methods side by side on the same concepts, prompts and seeds; nothing is registered."""

import json
import os
from collections.abc import Mapping
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
from tasks.method_choice import Place, Wanted, comparison_jobs, without_gallery
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
    """What was done, by its place."""

    jobs: Mapping[Place, Job]
    look_alikes: Path | None
    evaluations: Mapping[Place, Manifest]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.concept for place in self.jobs))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.method for place in self.jobs))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(place.seed for place in self.jobs))

    def first(self, name: str, method: str | None = None) -> Place:
        """The concept's place of the first seed, and of the first method unless another is named."""
        return Place(name, method or self.methods[0], self.seeds[0])


def run_compare(
    settings: Settings,
    wanted: Wanted,
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
    jobs, store = _checked(settings, wanted, look_alikes)
    if not train:
        _refuse_untrained(store, jobs)
    with prefect_api(settings) as api:
        check_jobs(settings, list(jobs.values()))
        import_mlflow(settings)
        with flows_run_at(api):
            from flows.compare_flow import evaluate_all  # it imports Prefect, which reads the variable above

            evaluations = evaluate_all(jobs, store, TerminalReporter(notices()))
    return _put_together(settings, store, _Round(jobs=jobs, look_alikes=look_alikes, evaluations=evaluations))


def _checked(settings: Settings, wanted: Wanted, look_alikes: Path | None) -> tuple[dict[Place, Job], Store]:
    """What is to be done, and the store; InputError with all that is wrong with either or the look-alikes."""
    jobs = {place: without_gallery(job) for place, job in comparison_jobs(settings, wanted).items()}
    store = open_store(settings)
    store.probe()
    problems: list[str] = []
    for job in {place.concept: job for place, job in jobs.items()}.values():
        try:
            find_look_alikes(settings, job, look_alikes)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return jobs, store


def _refuse_untrained(store: Store, jobs: Mapping[Place, Job]) -> None:
    """InputError, with all of them, for what would have to be trained."""
    problems = [
        f"concept '{place.concept}' is not trained by {place.method} from seed {place.seed} ({', '.join(missing)}): "
        "leave --no-train out, or the method"
        for place, job in jobs.items()
        if (missing := [plan.stage for plan in job.trainings if store.find(plan.stage, plan.key) is None])
    ]
    if problems:
        raise InputError(*problems)


def _put_together(settings: Settings, store: Store, work: _Round) -> Comparison:
    table = _table(settings, store, work)
    content = table.to_json()
    folder = settings.home / "comparisons" / digest_of(content)[:12]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / TABLE_MARKDOWN).write_text(table.to_markdown(), encoding="utf-8")
    draw_plane(table, folder / PLANE)
    for name in work.names:
        _draw_sheet(store, work, name, folder / f"{name}.png")
    run_id = record_comparison(settings, table, work.jobs, folder)
    return Comparison(table=table, folder=folder, run_id=run_id)


def _table(settings: Settings, store: Store, work: _Round) -> MethodTable:
    cells, notes = [], []
    for name in work.names:
        job = work.jobs[work.first(name)]
        embedded = embed_look_alikes(job, find_look_alikes(settings, job, work.look_alikes))
        if embedded is None:
            notes.append(
                f"{name}: no identity rank, for want of look-alikes: name a folder with --look-alikes, or add other "
                f"concepts of the category '{job.concept.super_category}'"
            )
        cells += [
            read_cell(store, own, place, work.evaluations[place], embedded)
            for place, own in work.jobs.items()
            if place.concept == name
        ]
    return MethodTable(
        concepts=work.names,
        methods=work.methods,
        seeds=work.seeds,
        prompts=tuple(next(iter(work.jobs.values())).recipe.prompts),
        cells=tuple(cells),
        notes=tuple(notes),
    )


def _draw_sheet(store: Store, work: _Round, name: str, file: Path) -> None:
    job = work.jobs[work.first(name)]
    prepare = store.get("prepare", job.stages[0].key)
    rows = {
        method: [
            picture(store, work.evaluations[work.first(name, method)], f"{GENERATIONS}/{number:02}/00.png")
            for number in range(len(job.recipe.prompts))
        ]
        for method in work.methods
    }
    images = pictures(store, prepare, IMAGES)
    draw_method_sheet(name, job.concept.super_category, images, job.recipe.prompts, rows).save(file, optimize=True)

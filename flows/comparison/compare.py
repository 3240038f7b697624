"""`conceptbooth compare`: methods side by side on the same concepts, prompts and seeds; nothing is registered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.output.console import notices
from flows.output.progress import TerminalReporter
from flows.server.command_flows import flows_of_command
from model.errors import InputError
from tasks.comparison.cells import read_table
from tasks.comparison.choice import ComparedTraining, Wanted, comparison_job, comparison_jobs
from tasks.comparison.look_alikes import check_folder, find_look_alikes
from tasks.comparison.pictures import Pictures, draw_pictures
from tasks.comparison.record import record_comparison
from tasks.comparison.results import ComparisonResults
from tasks.comparison.table import MethodTable
from tasks.execution.preflight import check_jobs
from tasks.files.hashing import digest_of
from tasks.jobs.jobs import Job
from tasks.project.settings import Settings
from tasks.store.store import Store, open_store

TABLE_JSON, TABLE_MARKDOWN = "comparison.json", "table.md"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several parts of a comparison, for several terminals or machines that share a store."""

    number: int
    """From 1."""
    parts: int

    def of(self, concepts: Sequence[str]) -> Sequence[str]:
        """The concepts that fall to it."""
        return concepts[self.number - 1 :: self.parts]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison that is done."""

    table: MethodTable
    folder: Path
    """Table and pictures."""
    pictures: Pictures
    run_id: str
    """MLflow's run that holds it all."""
    results: ComparisonResults
    """What it was made of."""


def run_compare(
    settings: Settings,
    wanted: Wanted,
    *,
    look_alikes: Path | None = None,
    train: bool = True,
    part: Part | None = None,
    maps: bool = True,
    verbose: bool = False,
) -> Comparison | None:
    """Train and evaluate what is missing of each concept by each method, and put the results side by side.

    Of a `part` only the concepts that fall to it are trained and evaluated, and None comes back. Without
    `maps` no attention is drawn.

    Raises:
        InputError: something is wrong with what was asked for, all of it together; no work was started.
        WorkFailed: a stage failed; what was finished is in the store, and the same call carries on.
    """
    jobs, store = _checked(settings, wanted, look_alikes, maps)
    if not train:
        _refuse_untrained(store, jobs)
    own = {
        training: job for training, job in jobs.items() if part is None or training.concept in part.of(wanted.concepts)
    }
    with flows_of_command(settings, lambda: check_jobs(settings, list(jobs.values())), verbose=verbose):
        from flows.comparison.flow import PreparedComparison, carry_out

        work = PreparedComparison(
            jobs=own,
            store=store,
            reporter=TerminalReporter(notices()),
            look_alikes=look_alikes,
            ranked=part is None,
        )
        carry_out(work)
    if part is not None:
        return None
    results = ComparisonResults(jobs=jobs, found=work.found, look_alikes=work.embedded, base=work.base)
    return _put_together(settings, store, results)


def _checked(
    settings: Settings, wanted: Wanted, look_alikes: Path | None, maps: bool
) -> tuple[dict[ComparedTraining, Job], Store]:
    """What is to be done, and the store; InputError with all that is wrong with either or the look-alikes."""
    problems: list[str] = []
    planned: dict[ComparedTraining, Job] = {}
    try:
        planned = comparison_jobs(settings, wanted)
    except InputError as error:
        problems += error.problems
    try:
        check_folder(look_alikes)
    except InputError as error:
        problems += error.problems
    for job in {training.concept: job for training, job in planned.items()}.values() if not problems else ():
        try:
            find_look_alikes(settings, job.concept, look_alikes)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    store = open_store(settings)
    store.probe()
    first = next(iter(planned)).seed  # of one seed the attention is shown
    return {
        training: comparison_job(job, maps=maps and training.seed == first) for training, job in planned.items()
    }, store


def _refuse_untrained(store: Store, jobs: Mapping[ComparedTraining, Job]) -> None:
    """InputError, with all of them, for what would have to be trained."""
    problems = [
        f"concept '{training.concept}' is not trained by {training.method} from seed {training.seed} "
        f"({', '.join(missing)}): leave --no-train out, or the method"
        for training, job in jobs.items()
        if (missing := [plan.stage for plan in job.trainings if store.find(plan.stage, plan.key) is None])
    ]
    if problems:
        raise InputError(*problems)


def _put_together(settings: Settings, store: Store, work: ComparisonResults) -> Comparison:
    table = read_table(store, work)
    content = table.to_json()
    folder = settings.home / "comparisons" / digest_of(content)[:12]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / TABLE_MARKDOWN).write_text(table.to_markdown(), encoding="utf-8")
    pictures = draw_pictures(store, work, table, folder)
    run_id = record_comparison(settings, table, work.jobs, folder)
    return Comparison(table=table, folder=folder, pictures=pictures, run_id=run_id, results=work)

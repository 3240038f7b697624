"""From images to a registered model: several concepts, one after the other, each in a flow run of its own."""

from collections.abc import Sequence

from rich.text import Text

from flows.output.console import notices
from flows.output.progress import TerminalReporter
from flows.server.command_flows import flows_of_command
from flows.training.outcome import ConceptOutcome
from flows.training.train_here import train_here
from tasks.concepts.image_notes import notes_of
from tasks.concepts.samples import unmade_samples
from tasks.dvc.command import make_samples
from tasks.execution.preflight import check_jobs
from tasks.jobs.jobs import Job, plan_jobs
from tasks.project.settings import Settings
from tasks.store.store import open_store


def run_training(settings: Settings, names: Sequence[str], *, verbose: bool = False) -> list[ConceptOutcome]:
    """Train, evaluate and register concepts, doing only what is not in the store; one outcome each, in order.

    One concept's failure does not stop the others. `verbose` shows Prefect's own log on the terminal. Apply
    `tasks.project.settings.apply_environment` before.

    Raises:
        InputError: something is wrong with what was asked for, all of it together; no work was started.
        WorkFailed: Prefect's API does not start, or DVC could not make the images of a bundled sample.
    """
    unmade = unmade_samples(settings, names)
    jobs = plan_jobs(settings, [name for name in names if name not in unmade])
    open_store(settings).probe()
    if unmade:
        notices().print(f"making the images of {', '.join(unmade)} (dvc repro)")
        make_samples(settings, unmade)
        jobs = plan_jobs(settings, names)
    with flows_of_command(settings, lambda: check_jobs(settings, jobs), verbose=verbose):
        _warn(settings, jobs)
        reporter = TerminalReporter(notices())
        return [train_here(job, reporter, checked=True) for job in jobs]


def _warn(settings: Settings, jobs: Sequence[Job]) -> None:
    """Say before any time is spent what is out of order and hinders no training."""
    noted = notes_of(settings, [(job.concept, job.images) for job in jobs])
    for note in (note for notes in noted.values() for note in notes):
        notices().print(Text.assemble(("warning: ", "yellow"), note), soft_wrap=True)

"""From images to a registered model: several concepts, one after the other, each in a flow run of its own."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flows.output.console import notices, warn
from flows.output.image_notes import tell_notes
from flows.output.invocation import command
from flows.output.names import some_names
from flows.output.progress import Both, TerminalReporter
from flows.server.command_flows import flows_of_command
from flows.training.made_before import made_before
from flows.training.outcome import ConceptOutcome
from flows.training.train_here import train_here
from flows.training.verdict import judged
from model.errors import InputError
from tasks.concepts.domain import foreign_images
from tasks.concepts.image_notes import notes_of
from tasks.concepts.samples import unmade_samples
from tasks.dvc.command import make_samples
from tasks.execution.preflight import check_jobs
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job, plan_jobs
from tasks.lineage.attest import attest
from tasks.project.git import git_facts
from tasks.project.settings import Settings
from tasks.promotion.policy import load_policy
from tasks.store.store import Store, open_store


def run_training(
    settings: Settings, names: Sequence[str], *, verbose: bool = False, also_told: Reporter | None = None
) -> list[ConceptOutcome]:
    """Train, evaluate and register concepts, doing only what is not in the store; one outcome each, in order.

    One concept's failure does not stop the others. Where everything is there, Prefect is not even started. `verbose`
    shows Prefect's own log on the terminal, `also_told` hears of the progress beside it. The outcomes' seconds add up
    to what this call took. Apply `tasks.project.settings.apply_environment` before.

    Raises:
        InputError: something is wrong with what was asked for, all of it together; no work was started.
        WorkFailed: Prefect's API does not start, or DVC could not make the images of a bundled sample.
    """
    started, terminal = time.monotonic(), TerminalReporter(notices())
    reporter: Reporter = Both(terminal, also_told) if also_told else terminal
    unmade = unmade_samples(settings, names)
    jobs = plan_jobs(settings, [name for name in names if name not in unmade])
    store = open_store(settings)
    store.probe()
    if unmade:
        notices().print(f"making the images of {', '.join(unmade)} (dvc repro)")
        make_samples(settings, unmade)
        jobs = plan_jobs(settings, names)
    for job in jobs:
        images = [job.concept.images / file.relpath for file in job.images.files]
        if foreign := foreign_images(settings, images, command()):
            warn(f"concept {job.concept.name}: {foreign}")
    reporter.prepare("asking the store what is there")
    try:
        outcomes = made_before(settings, store, names)
        wanting = [job for job in jobs if job.concept.name not in outcomes]
        if wanting:
            reporter.prepare("starting Prefect")
            with flows_of_command(settings, lambda: check_jobs(settings, wanting), verbose=verbose):
                reporter.end()
                _warn(settings, store, jobs, reporter)
                for job in wanting:
                    outcomes[job.concept.name] = train_here(job, reporter, checked=True)
        else:
            reporter.end()
            _warn(settings, store, jobs, reporter)
    finally:
        reporter.end()
    done = [outcomes[name] for name in dict.fromkeys(job.concept.name for job in jobs)]
    return judged(settings, _as_waited(done, started))


def _warn(settings: Settings, store: Store, jobs: Sequence[Job], reporter: Reporter) -> None:
    """Say before any time is spent what is out of order and hinders no training, but perhaps what comes after it."""
    noted = notes_of(settings, [(job.concept, job.images) for job in jobs])
    tell_notes(note for notes in noted.values() for note in notes)
    warnings: list[str] = []
    if _asks_for_commits(settings):
        for record in attest(settings, store, [job.concept.name for job in jobs]):
            what = f"commit {record.commit[:12]} holds what it was made from (attestation {record.number})"
            reporter.tell(f"{record.concept}: {what}")
        warnings += _uncommitted(settings, jobs)
    for warning in warnings:
        reporter.warn(warning)


def _asks_for_commits(settings: Settings) -> bool:
    try:
        return load_policy(settings).git_clean
    except InputError:  # whoever promotes is told; nothing is trained by it
        return False


def _uncommitted(settings: Settings, jobs: Sequence[Job]) -> Iterator[str]:
    """That the gate `git_clean` will refuse what comes out, and the way out, which is as good before as afterwards."""
    way_out = (
        "`promote` asks for committed files (git_clean): commit them, now or after this; where they are the same then, "
        "the next `train` or `promote` attests it"
    )
    facts = git_facts(settings.root)
    if facts is None:
        yield f"git has no commit of this project: {way_out}"
    elif facts["dirty"]:
        yield f"files differ from git's newest commit {facts['commit'][:12]}: {way_out}"
    elif dirty := [job.concept.name for job in jobs if job.images.dirty]:
        yield f"the images of {some_names(dirty)} are not in git's newest commit: {way_out}"


def _as_waited(outcomes: list[ConceptOutcome], started: float) -> list[ConceptOutcome]:
    """With what came before and after all of them, such as the start of Prefect, in the seconds of the longest."""
    if not outcomes:
        return outcomes
    rest = time.monotonic() - started - sum(outcome.seconds for outcome in outcomes)
    longest = max(range(len(outcomes)), key=lambda number: outcomes[number].seconds)
    waited = replace(outcomes[longest], seconds=outcomes[longest].seconds + max(rest, 0.0))
    return [*outcomes[:longest], waited, *outcomes[longest + 1 :]]

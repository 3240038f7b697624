"""One concept's flow in this process, as `train` and a night without workers run it."""

import dataclasses
import time

from flows.output.errors import forget_traceback
from flows.server.hand_over import handed_over
from flows.training.outcome import ConceptOutcome
from flows.training.prepared_training import PreparedTraining
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job


def train_here(job: Job, reporter: Reporter, *, checked: bool, verify: bool = False) -> ConceptOutcome:
    """Run one concept's flow. Never raises for it.

    `checked` says that its images and words have been looked at, `verify` that every byte of its artefacts is read.
    """
    from prefect import tags

    from flows.training.train_concept import train_concept
    from flows.training.worker_protocol import run_tags

    training, started = PreparedTraining(job, reporter, checked=checked, verify=verify), time.monotonic()
    try:
        with handed_over(training), tags(*run_tags(job.concept.name)):
            outcome = train_concept(job.concept.name, job.settings.root)
            assert isinstance(outcome, ConceptOutcome)  # a failed state is raised
            return outcome
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this concept's outcome
        outcome = dataclasses.replace(training.failed(error), seconds=time.monotonic() - started)
        forget_traceback(error)  # else the next concept lacks the memory that this one had
        return outcome

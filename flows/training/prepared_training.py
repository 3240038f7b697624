"""One concept's training as it is handed to its flow, and what has become of it so far."""

import dataclasses
from typing import Any

from flows.output.errors import error_lines
from flows.training.outcome import ConceptOutcome, TaskOutcome
from tasks.execution.reporting import Reporter
from tasks.jobs.jobs import Job


class PreparedTraining:
    """What the flow is to do. The outcome grows as it goes on, so that a failure does not take away what was done."""

    def __init__(self, job: Job, reporter: Reporter, *, checked: bool, verify: bool = False) -> None:
        self.job = job
        self.reporter = reporter
        self.checked = checked
        """Whether images and words have been looked at; else the flow does, so that they fail as its own."""
        self.verify = verify
        """Whether every byte of its artefacts is read, wherever they lie."""
        self.outcome = ConceptOutcome(concept=job.concept.name, base=job.recipe.base.reference)

    def note(self, **facts: Any) -> ConceptOutcome:
        """Put into the outcome what is known by now."""
        self.outcome = dataclasses.replace(self.outcome, **facts)
        return self.outcome

    def note_task(self, done: TaskOutcome) -> None:
        """Put a task into the outcome, in the place of one of that name."""
        tasks = {task.name: task for task in (*self.outcome.tasks, done)}
        self.note(tasks=tuple(tasks.values()))

    def failed(self, error: Exception) -> ConceptOutcome:
        """The outcome where this exception ended it. Call it where that is handled."""
        said = error_lines(error, self.job.settings, self.job.concept.name)
        return dataclasses.replace(self.outcome, error="\n".join(said), fault=self.outcome.fault or "world")

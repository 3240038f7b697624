"""What a scheduler and a worker must agree on: that their checkouts of the project plan the same training."""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from flows.server.run_labels import write_labels
from flows.training.outcome import ConceptOutcome, TaskOutcome

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

from typing import Any

from model.errors import InputError
from tasks.jobs.jobs import Job
from tasks.project.git import git_facts


def expectation(job: Job, *, verify: bool = False) -> dict[str, Any]:
    """Parameters of the flow `train_concept` on a worker, which plans the same or refuses."""
    agreed = {"name": job.concept.name, "expected_key": _final_key(job), "expected_commit": _commit(job)}
    return agreed | {"verify": verify}


def run_tags(concept: str) -> list[str]:
    """Tags of a concept's runs, by which Prefect's pages filter them; there from the moment that a run waits."""
    return ["conceptbooth", f"concept:{concept}"]


def refuse_another_plan(job: Job, expected_key: str, expected_commit: str | None) -> None:
    """InputError if the project here makes another key of the last stage than the one who asked for it expects.

    That key holds all that can change any stage: images, parameters, code, library versions, device, number types.
    """
    if (key := _final_key(job)) == expected_key:
        return
    raise InputError(
        f"'{job.concept.name}': the project of this worker, at {_commit(job)}, plans key {key[:12]}, and that of the "
        f"scheduler, at {expected_commit or 'an unknown commit'}, key {expected_key[:12]}: bring both to one commit, "
        "one set of images, one device and dtype, and the versions of constraints.txt"
    )


def _final_key(job: Job) -> str:
    return job.stages[-1].key


def _commit(job: Job) -> str:
    """The project's commit in words."""
    facts = git_facts(job.settings.root)
    if facts is None:
        return "no commit"
    return f"commit {facts['commit'][:12]}{' with uncommitted changes' if facts['dirty'] else ''}"


_TASKS, _ERROR, _FAULT = "conceptbooth.tasks", "conceptbooth.error", "conceptbooth.fault"


def label_run(outcome: ConceptOutcome) -> None:
    """Write on the present flow run which tasks it did, and if it failed, why and whose fault that is."""
    labels: dict[str, bool | int | float | str] = {_TASKS: json.dumps([asdict(task) for task in outcome.tasks])}
    if outcome.error and outcome.fault:
        labels |= {_ERROR: outcome.error, _FAULT: outcome.fault}
    write_labels(labels)


def with_labels(outcome: ConceptOutcome, run: "FlowRun") -> ConceptOutcome:
    """The outcome with what the run has said of itself, as far as it came to do that."""
    tasks = tuple(TaskOutcome(**task) for task in json.loads(str(run.labels.get(_TASKS, "[]"))))
    if run.labels.get(_FAULT) == "concept":
        outcome = replace(outcome, fault="concept")
    if error := run.labels.get(_ERROR):
        outcome = replace(outcome, error=str(error))
    return replace(outcome, tasks=tasks)

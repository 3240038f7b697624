"""What the runs of a training are called in MLflow, and the tags by which they are found again."""

import getpass
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.files.hashing import digest_of
from tasks.project.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

MOST_METRICS, MOST_PARAMETERS = 1000, 100  # of one request to MLflow
FIGURES = (
    "loss",
    "attention_loss",
    "prior_loss",
    "context_loss",
    "semantic_loss",
    "class_loss",
    "pull_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
)
PARENT_TAG = "mlflow.parentRunId"
REGISTRAR_TAG = "conceptbooth.registrar"
"""On runs that a registration completes, or has completed: who does."""
TRAINER_TAG = "conceptbooth.trainer"
"""On runs from the first stage on: who trains."""
TRAINING_TAG = "conceptbooth.training"
"""The content that the training will have (`TrainingFacts.key`), known before it begins."""
ENDED_TAG = "conceptbooth.ended"
"""On runs of trainings that ended before they were done: why, and what goes on from there."""
STAGE_KEY_TAG, CONCEPT_TAG = "conceptbooth.stage_key", "conceptbooth.concept"


def registrar(settings: Settings) -> str:
    """Who writes a run: all that share this project's locks, on this machine. Others may be at work right now."""
    return digest_of([socket.gethostname(), str(settings.home)])[:16]


def source_tags(concept: str) -> dict[str, str]:
    """MLflow's own tags of who ran what."""
    tags = {"mlflow.source.name": f"conceptbooth train {concept}", "mlflow.source.type": "LOCAL"}
    try:
        return tags | {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # a container's user may have no name
        return tags


def stage_title(stage: str) -> str:
    """A stage as a run's name has it: "1 embedding"."""
    return " ".join(stage.split("-")[1:]).replace("_", " ")


def live_run(client: "MlflowClient", experiment: str, key: str) -> "Run | None":
    """The run of this training that no registration has begun to complete; None if there is none."""
    found = client.search_runs([experiment], f"tags.`{TRAINING_TAG}` = '{key}'", order_by=["attributes.start_time ASC"])
    open_ones = (run for run in found if run.info.status != "FINISHED" and REGISTRAR_TAG not in run.data.tags)
    return next(open_ones, None)


def run_by_stage(client: "MlflowClient", experiment: str, parent: str, key: str) -> "Run | None":
    """The run of the stage with this key below the run of its training."""
    query = f"tags.`{PARENT_TAG}` = '{parent}' and tags.`{STAGE_KEY_TAG}` = '{key}'"
    return next(iter(client.search_runs([experiment], query)), None)


def log_parameters(client: "MlflowClient", run_id: str, parameters: Mapping[str, str]) -> None:
    """Write parameters, as many at a time as MLflow takes."""
    from mlflow.entities import Param

    for batch in batches([Param(name, value) for name, value in parameters.items()], MOST_PARAMETERS):
        client.log_batch(run_id, params=batch)


def batches(values: list[Any], size: int) -> Iterator[list[Any]]:
    """The values, `size` at a time."""
    return (values[start : start + size] for start in range(0, len(values), size))

"""A training as MLflow shows it: a run with scores, gallery and data set, and below it one run for each stage."""

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tasks.files.hashing import digest_of
from tasks.project.settings import Settings
from tasks.registry.package import log_package
from tasks.registry.training_facts import TrainingFacts, copy_out, flat, with_interval
from tasks.registry.versions import GALLERY_TAG, KEY_TAG, WEIGHTS_SHA256_TAG
from tasks.store.artefacts import (
    BASE_GENERATIONS,
    CATEGORY_MAP,
    CONTACT_SHEET,
    CURVES,
    GENERATIONS,
    PAGE,
    PLACEHOLDER_MAP,
    PREVIEW,
    STAGES,
)
from tasks.store.manifest import Manifest
from tasks.store.pictures import picture
from tasks.store.store import Store
from tasks.tracking.client import artifacts_at

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.tracking import MlflowClient

MOST_METRICS, MOST_PARAMETERS = 1000, 100  # of one request to MLflow
FIGURES = (
    "loss",
    "attention_loss",
    "prior_loss",
    "context_loss",
    "semantic_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
)
PARENT_TAG = "mlflow.parentRunId"
REGISTRAR_TAG = "conceptbooth.registrar"


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run that records a training completely, with the logged model that came out of it."""

    run_id: str
    model_id: str
    files: str
    """Address of the logged model's files."""


def recorded_run(client: "MlflowClient", experiment: str, record: TrainingFacts) -> RecordedRun | None:
    """The run that records this content and these weights completely; None if there is none."""
    same = {KEY_TAG: record.key, WEIGHTS_SHA256_TAG: record.weights.sha256}
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in same.items())
    query += " and attributes.status = 'FINISHED'"
    for run in client.search_runs([experiment], query):
        for model in _models(client, run):
            if model.status == "READY":
                return RecordedRun(run_id=run.info.run_id, model_id=model.model_id, files=model.artifact_location)
    return None


def discard_interrupted(client: "MlflowClient", settings: Settings, experiment: str, concept: str) -> None:
    """Discard what killed registrations of this concept have left; call it where no other can be at work."""
    query = f"tags.`{REGISTRAR_TAG}` = '{registrar(settings)}' and tags.`conceptbooth.concept` = '{concept}'"
    for run in client.search_runs([experiment], query):
        if run.info.status != "FINISHED":
            discard(client, run, "its registration was interrupted and done again")


def discard(client: "MlflowClient", run: "Run", why: str) -> None:
    """Delete a run with those of its stages, their files and logged models.

    As MLflow deletes: the rows are hidden and stay until `mlflow gc`.
    """
    for model in _models(client, run):
        artifacts_at(client, model.artifact_location).delete_artifacts()
        client.delete_logged_model(model.model_id)
    stages = client.search_runs([run.info.experiment_id], f"tags.`{PARENT_TAG}` = '{run.info.run_id}'")
    for each in (*stages, run):
        artifacts_at(client, each.info.artifact_uri).delete_artifacts()
        client.set_tag(each.info.run_id, "conceptbooth.discarded", why)
        client.delete_run(each.info.run_id)


def registrar(settings: Settings) -> str:
    """Who writes a run: all that share this project's locks, on this machine. Others may be at work right now."""
    return digest_of([socket.gethostname(), str(settings.home)])[:16]


def record_training(
    client: "MlflowClient", settings: Settings, store: Store, experiment: str, record: TrainingFacts
) -> RecordedRun:
    """Write the runs of a training and its logged model; the run is FINISHED only once everything is there."""
    from mlflow.entities import Metric

    run = client.create_run(experiment, tags=record.tags() | _run_tags(settings, record), run_name=record.concept.name)
    run_id = run.info.run_id
    for manifest in record.stages:
        _record_stage(client, store, experiment, run_id, manifest, record.evaluation)
    _log_parameters(client, run_id, record.parameters())
    _log_image_set(client, settings, run_id, record)
    _log_gallery(client, store, run_id, record)
    client.log_table(run_id, _table(store, record), "prompts.json")
    model = log_package(client, settings, store, experiment, run_id, record)
    now = run.info.start_time
    metrics = [Metric(name, value, now, 0, model_id=model.model_id) for name, value in record.metrics().items()]
    client.log_batch(run_id, metrics=metrics)
    client.set_terminated(run_id)
    return RecordedRun(run_id=run_id, model_id=model.model_id, files=model.artifact_location)


def replace_gallery(client: "MlflowClient", store: Store, experiment: str, run_id: str, record: TrainingFacts) -> None:
    """Put the gallery in the place of the one that the run has, unless somebody deleted the run."""
    for run in client.search_runs([experiment], f"attributes.run_id = '{run_id}'"):
        _log_gallery(client, store, run.info.run_id, record)
        client.set_tag(run.info.run_id, GALLERY_TAG, record.gallery.key)


def _log_gallery(client: "MlflowClient", store: Store, run_id: str, record: TrainingFacts) -> None:
    with TemporaryDirectory() as folder:
        for name in (CONTACT_SHEET, PAGE):
            client.log_artifact(run_id, str(copy_out(store, record.gallery, name, Path(folder))), "gallery")


def _record_stage(
    client: "MlflowClient", store: Store, experiment: str, parent: str, manifest: Manifest, evaluation: Manifest
) -> None:
    """One stage's run, with the times at which the stage itself ran."""
    end = int(datetime.fromisoformat(manifest.created).timestamp() * 1000)
    start = end - int(manifest.wall_seconds * 1000)
    tags = {
        PARENT_TAG: parent,
        "conceptbooth.stage": manifest.stage,
        "conceptbooth.stage_key": manifest.key,
        "conceptbooth.code_digest": manifest.code_digest,
        "conceptbooth.device": manifest.device,
    }
    run_id = client.create_run(experiment, start_time=start, tags=tags, run_name=manifest.stage).info.run_id
    _log_parameters(client, run_id, flat({**manifest.parameters["stage"], "seed": manifest.seed}))
    for batch in _batches(_curves(store, manifest, start, end), MOST_METRICS):
        client.log_batch(run_id, metrics=batch)
    with TemporaryDirectory() as folder:
        for name in (PREVIEW, PLACEHOLDER_MAP, CATEGORY_MAP):
            drawn = f"{STAGES}/{manifest.parameters['stage']['name']}/{name}"
            if drawn in evaluation.files:  # not every method's prompts name the super-category
                client.log_artifact(run_id, str(copy_out(store, evaluation, drawn, Path(folder))))
    client.set_terminated(run_id, end_time=end)


def _curves(store: Store, manifest: Manifest, start: int, end: int) -> list[Any]:
    """Every figure of the stage's curves, with its step and a time spread evenly over the stage (milliseconds)."""
    from mlflow.entities import Metric

    points = json.loads(store.file(manifest, CURVES).read_text(encoding="utf-8"))
    for point, rate in zip(points, manifest.metrics["samples_per_second"], strict=True):
        point["samples_per_second"] = rate
    last = points[-1]["step"]
    return [
        Metric(name, point[name], start + (end - start) * point["step"] // last, point["step"])
        for point in points
        for name in FIGURES
        if name in point  # not every stage has every part of the loss
    ]


def _log_parameters(client: "MlflowClient", run_id: str, parameters: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    for batch in _batches([Param(name, value) for name, value in parameters.items()], MOST_PARAMETERS):
        client.log_batch(run_id, params=batch)


def _log_image_set(client: "MlflowClient", settings: Settings, run_id: str, record: TrainingFacts) -> None:
    """The image set as MLflow's data set: its digest is DVC's hash, so that the runs which saw it can be searched."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    folder = record.concept.images
    inside = folder.relative_to(settings.root) if folder.is_relative_to(settings.root) else folder
    dataset = Dataset(
        name=record.concept.name,
        digest=record.image_set.digest,
        source_type="local",
        source=json.dumps({"uri": inside.as_posix()}),
        profile=json.dumps({"images": record.image_count}),
    )
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _table(store: Store, record: TrainingFacts) -> dict[str, list[Any]]:
    """One row a prompt: its scores, its first picture and what the untrained base draws with the same noise."""
    table: dict[str, list[Any]] = {}
    for index, scored in enumerate(record.scores["prompts"]):
        row: dict[str, Any] = {"prompt": scored["prompt"]}
        for name in ("clip_i", "clip_t"):
            row |= with_interval(name, scored[name])
        for column, room in (("picture", GENERATIONS), ("untrained_base", BASE_GENERATIONS)):
            row[column] = picture(store, record.evaluation, f"{room}/{index:02}/00.png")
        for column, value in row.items():
            table.setdefault(column, []).append(value)
    return table


def _run_tags(settings: Settings, record: TrainingFacts) -> dict[str, str]:
    """Who writes the run, and MLflow's own tags: what its pages show as source, commit and description."""
    tags = {
        REGISTRAR_TAG: registrar(settings),
        "mlflow.source.name": f"conceptbooth train {record.concept.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": record.description(),
    }
    commit = (record.evaluation.git or {}).get("commit")
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _models(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    query = f"source_run_id = '{run.info.run_id}'"
    return client.search_logged_models([run.info.experiment_id], filter_string=query)


def _batches(values: list[Any], size: int) -> Iterator[list[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))

"""A training as MLflow shows it: a run with scores, gallery and data set, and below it one run for each stage."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tasks.concept_package import log_package
from tasks.manifest import Manifest
from tasks.settings import Settings
from tasks.store import Store
from tasks.training_record import TrainingRecord, copy_out, flat, with_interval

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

MOST_METRICS, MOST_PARAMETERS = 1000, 100  # of one request to MLflow
PARENT_TAG = "mlflow.parentRunId"


def finished_run(client: "MlflowClient", experiment: str, key: str) -> "Run | None":
    """The run that records this content completely, its logged model included; None if there is none."""
    return next((run for run in _runs(client, experiment, key) if run.info.status == "FINISHED"), None)


def discard_unfinished(client: "MlflowClient", experiment: str, key: str) -> int:
    """Remove what an interrupted registration of this content left: runs, their files, their logged models.

    Runs are deleted as MLflow deletes (hidden, and restorable until `mlflow gc`), and say why. Returns how many.
    """
    unfinished = [run for run in _runs(client, experiment, key) if run.info.status != "FINISHED"]
    for run in unfinished:
        run_id = run.info.run_id
        for model in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
            _delete_files(client, model.artifact_location)
            client.delete_logged_model(model.model_id)
        for child in client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{run_id}'"):
            _discard(client, child)
        _discard(client, run)
    return len(unfinished)


def record_training(
    client: "MlflowClient", settings: Settings, store: Store, experiment: str, record: TrainingRecord
) -> "Run":
    """Write the runs of a training and its logged model; the run is FINISHED only once everything is there."""
    from mlflow.entities import Metric

    run = client.create_run(experiment, tags=record.tags() | _run_tags(record), run_name=record.concept.name)
    run_id = run.info.run_id
    for manifest in record.stages:
        _record_stage(client, store, experiment, run_id, manifest)
    _log_parameters(client, run_id, record.parameters())
    _log_image_set(client, settings, run_id, record)
    with TemporaryDirectory() as folder:
        for name in ("gallery.png", "index.html"):
            client.log_artifact(run_id, str(copy_out(store, record.gallery, name, Path(folder))), "gallery")
    client.log_table(run_id, _table(store, record), "prompts.json")
    model_id = log_package(client, settings, store, experiment, run_id, record)
    now = run.info.start_time
    metrics = [Metric(name, value, now, 0, model_id=model_id) for name, value in record.metrics().items()]
    client.log_batch(run_id, metrics=metrics)
    client.set_terminated(run_id)
    return client.get_run(run_id)


def _record_stage(client: "MlflowClient", store: Store, experiment: str, parent: str, manifest: Manifest) -> None:
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
        for name in sorted(manifest.files):
            if name.endswith(".png"):
                client.log_artifact(run_id, str(copy_out(store, manifest, name, Path(folder))))
    client.set_terminated(run_id, end_time=end)


def _curves(store: Store, manifest: Manifest, start: int, end: int) -> list[Any]:
    """Every number of the stage's curves, with its step and a time spread evenly over the stage (milliseconds)."""
    from mlflow.entities import Metric

    points = json.loads(store.file(manifest, "curves.json").read_text(encoding="utf-8"))
    last = points[-1]["step"]
    return [
        Metric(name, value, start + (end - start) * point["step"] // last, point["step"])
        for point in points
        for name, value in point.items()
        if name != "step"
    ]


def _log_parameters(client: "MlflowClient", run_id: str, parameters: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    for batch in _batches([Param(name, value) for name, value in parameters.items()], MOST_PARAMETERS):
        client.log_batch(run_id, params=batch)


def _log_image_set(client: "MlflowClient", settings: Settings, run_id: str, record: TrainingRecord) -> None:
    """The image set as MLflow's data set: its digest is DVC's hash, so that the runs which saw it can be searched."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    folder = record.concept.images
    inside = folder.relative_to(settings.root) if folder.is_relative_to(settings.root) else folder
    dataset = Dataset(
        name=record.concept.name,
        digest=record.image_set.digest,
        source_type="local",
        source=json.dumps({"uri": inside.as_posix()}),
        profile=json.dumps({"images": sum(name.startswith("images/") for name in record.prepare.files)}),
    )
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _table(store: Store, record: TrainingRecord) -> dict[str, list[Any]]:
    """One row a prompt: its scores, its first picture and what the untrained base draws with the same noise."""
    from PIL import Image

    table: dict[str, list[Any]] = {}
    for index, scored in enumerate(record.scores["prompts"]):
        row: dict[str, Any] = {"prompt": scored["prompt"]}
        for name in ("clip_i", "clip_t"):
            row |= with_interval(name, scored[name])
        for column, room in (("picture", "generations"), ("untrained_base", "base")):
            row[column] = Image.open(store.file(record.evaluation, f"{room}/{index:02d}/00.png"))
        for column, value in row.items():
            table.setdefault(column, []).append(value)
    return table


def _run_tags(record: TrainingRecord) -> dict[str, str]:
    """MLflow's own tags: what its pages show as source, commit and description."""
    tags = {
        "mlflow.source.name": f"conceptbooth train {record.concept.name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": record.description(),
    }
    commit = (record.evaluation.git or {}).get("commit")
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _runs(client: "MlflowClient", experiment: str, key: str) -> "list[Run]":
    return client.search_runs([experiment], f"tags.`conceptbooth.key` = '{key}'")


def _discard(client: "MlflowClient", run: "Run") -> None:
    _delete_files(client, run.info.artifact_uri)
    client.set_tag(run.info.run_id, "conceptbooth.discarded", "its registration was interrupted and done again")
    client.delete_run(run.info.run_id)


def _delete_files(client: "MlflowClient", uri: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri, tracking_uri=client.tracking_uri).delete_artifacts()


def _batches(values: list[Any], size: int) -> Iterator[list[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))

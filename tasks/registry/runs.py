"""A training as MLflow shows it: a run with scores, gallery and data set, and below it one run for each stage."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tasks.project.settings import Settings
from tasks.registry.package import log_package
from tasks.registry.run_facts import (
    ENDED_TAG,
    FIGURES,
    MOST_METRICS,
    PARENT_TAG,
    REGISTRAR_TAG,
    STAGE_KEY_TAG,
    TRAINING_TAG,
    batches,
    live_run,
    log_parameters,
    registrar,
    run_by_stage,
    source_tags,
    stage_title,
)
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


def record_training(
    client: "MlflowClient", settings: Settings, store: Store, experiment: str, record: TrainingFacts
) -> RecordedRun:
    """Complete the run that the training has left, or write one, with those of its stages and its logged model.

    It is FINISHED only once everything is there.
    """
    from mlflow.entities import Metric, RunTag

    end = _milliseconds(record.evaluation)
    taken = sum(manifest.wall_seconds for manifest in (*record.stages, record.evaluation))
    tags = record.tags() | _run_tags(settings, record)
    live = live_run(client, experiment, record.key)
    if live is not None:
        run_id = live.info.run_id
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        if ENDED_TAG in live.data.tags:
            client.delete_tag(run_id, ENDED_TAG)
    else:
        start = end - int(taken * 1000)
        run_id = client.create_run(experiment, start_time=start, tags=tags, run_name=record.concept.name).info.run_id
    for manifest in record.stages:
        _record_stage(client, store, experiment, run_id, manifest, record)
    log_parameters(client, run_id, record.parameters())
    _log_image_set(client, settings, run_id, record)
    _log_gallery(client, store, run_id, record)
    client.log_table(run_id, _table(store, record), "prompts.json")
    model = log_package(client, settings, store, experiment, run_id, record)
    metrics = [Metric(name, value, end, 0, model_id=model.model_id) for name, value in record.metrics().items()]
    client.log_batch(run_id, metrics=metrics)
    client.set_terminated(run_id, end_time=None if live else end)
    return RecordedRun(run_id=run_id, model_id=model.model_id, files=model.artifact_location)


def name_runs(client: "MlflowClient", experiment: str, run_id: str, concept: str, version: str) -> None:
    """Call a training's run and those of its stages after the version that came of it."""
    for run in client.search_runs([experiment], f"attributes.run_id = '{run_id}'"):  # somebody may have deleted it
        name = f"{concept} v{version}"
        if run.info.run_name == name:
            return
        for stage in client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{run_id}'"):
            title = stage_title(stage.data.tags.get("conceptbooth.stage", ""))
            client.update_run(stage.info.run_id, name=f"{name}: {title}")
        client.update_run(run_id, name=name)  # last: where this was stopped, it is done again


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
    client: "MlflowClient", store: Store, experiment: str, parent: str, manifest: Manifest, record: TrainingFacts
) -> None:
    """One stage's run, with the times at which the stage itself ran; what it has of its training is kept."""
    end = _milliseconds(manifest)
    start = end - int(manifest.wall_seconds * 1000)
    known = run_by_stage(client, experiment, parent, manifest.key)
    tags = {
        PARENT_TAG: parent,
        "conceptbooth.stage": manifest.stage,
        STAGE_KEY_TAG: manifest.key,
        "conceptbooth.code_digest": manifest.code_digest,
        "conceptbooth.device": manifest.device,
    }
    if known is not None:
        run_id = known.info.run_id
        for name, value in tags.items():
            if known.data.tags.get(name) != value:
                client.set_tag(run_id, name, value)
    else:
        name = f"{record.concept.name}: {stage_title(manifest.stage)}"
        tags |= source_tags(record.concept.name)
        run_id = client.create_run(experiment, start_time=start, tags=tags, run_name=name).info.run_id
    log_parameters(client, run_id, flat({**manifest.parameters["stage"], "seed": manifest.seed}))
    drawn = 0
    if known is not None and "loss" in known.data.metrics:
        drawn = max(point.step for point in client.get_metric_history(run_id, "loss"))
    missing = [point for point in _curves(store, manifest, start, end) if point.step > drawn]
    for batch in batches(missing, MOST_METRICS):
        client.log_batch(run_id, metrics=batch)
    with TemporaryDirectory() as folder:
        for name in (PREVIEW, PLACEHOLDER_MAP, CATEGORY_MAP):
            file = f"{STAGES}/{manifest.parameters['stage']['name']}/{name}"
            if file in record.evaluation.files:  # not every method's prompts name the super-category
                client.log_artifact(run_id, str(copy_out(store, record.evaluation, file, Path(folder))))
    if known is None or known.info.status != "FINISHED":
        client.set_terminated(run_id, end_time=end)


def _milliseconds(manifest: Manifest) -> int:
    """When the stage was done."""
    return int(datetime.fromisoformat(manifest.created).timestamp() * 1000)


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
    """One row a prompt: its first picture, what the untrained base draws with the same noise, and then its scores."""
    table: dict[str, list[Any]] = {}
    for index, scored in enumerate(record.scores["prompts"]):
        row: dict[str, Any] = {"prompt": scored["prompt"]}
        for column, room in (("picture", GENERATIONS), ("untrained_base", BASE_GENERATIONS)):
            row[column] = picture(store, record.evaluation, f"{room}/{index:02}/00.png")
        for name in ("clip_i", "clip_t"):
            row |= with_interval(name, scored[name])
        for column, value in row.items():
            table.setdefault(column, []).append(value)
    return table


def _run_tags(settings: Settings, record: TrainingFacts) -> dict[str, str]:
    """Who writes the run, and MLflow's own tags: what its pages show as source, commit and description."""
    tags = {
        REGISTRAR_TAG: registrar(settings),
        TRAINING_TAG: record.key,
        **source_tags(record.concept.name),
        "mlflow.note.content": record.description(),
    }
    commit = (record.evaluation.git or {}).get("commit")
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _models(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    query = f"source_run_id = '{run.info.run_id}'"
    return client.search_logged_models([run.info.experiment_id], filter_string=query)

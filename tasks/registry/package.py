"""A concept model as an MLflow model: weights, facts and code, but no copy of the base."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from model.drawing.sampling_options import MOVES, Sampling
from model.errors import WorkFailed
from tasks.files.hashing import DigestMemory, file_digest
from tasks.jobs.models import MODEL_SUFFIXES
from tasks.project.settings import Settings
from tasks.registry.model_card import CARD, model_card
from tasks.registry.package_listing import LISTING, write_listing
from tasks.registry.programs import program
from tasks.registry.training_facts import TrainingFacts, copy_out
from tasks.registry.versions import ARTIFACTS, FACTS_FILE, PACKAGE_TAG, local_folder, package_damage
from tasks.store.artefacts import WEIGHTS
from tasks.store.store import Store
from tasks.tracking.client import artifacts_at, experiment_id

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

FACTS_FORMAT = 1
CODE = Path(__file__).resolve().parents[2]
NEEDED = (
    "mlflow",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "huggingface_hub",
    "httpx2",
    "fastapi",
    "safetensors",
    "numpy",
    "pandas",
    "pillow",
)
"""Distributions that the code in a package imports; MLflow would find them out by drawing, which takes minutes."""

_USAGE = """\
```python
import base64

import mlflow

model = mlflow.pyfunc.load_model("models:/concept.{name}@candidate")  # or the path of this folder
table = model.predict([{{"prompt": "a photo of a {{}} in the snow", "n": 1, "seed": 7}}])
png = base64.b64decode(table.image[0])
```

It needs the base: by its hub id; or in the folder in which it was, in the store that it was trained with, or in the
folder that `CONCEPTBOOTH_BASE` names, byte for byte as it was."""


def log_package(
    client: "MlflowClient", settings: Settings, store: Store, experiment: str, run_id: str, record: TrainingFacts
) -> "LoggedModel":
    """Make a training's model a logged model of its run."""
    from mlflow.entities import LoggedModelOutput

    model: LoggedModel = client.create_logged_model(
        experiment,
        name=record.concept.name,
        source_run_id=run_id,
        tags=record.tags(),
        params=record.parameters(),
        model_type="concept",
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    upload_package(client, model.artifact_location, settings, store, record, run_id, model.model_id)
    return client.finalize_logged_model(model.model_id, "READY")


def upload_package(
    client: "MlflowClient",
    place: str,
    settings: Settings,
    store: Store,
    record: TrainingFacts,
    run_id: str,
    model_id: str,
) -> str:
    """Put the package's files at an artefact address, where files of the same names are replaced.

    Returns the sha256 of their list (`PACKAGE_TAG`).
    """
    with TemporaryDirectory() as folder:
        package = write_package(Path(folder), settings, store, record, run_id, model_id)
        artifacts_at(client, place).log_artifacts(str(package))
        return file_digest(package / LISTING)


def mend_package(
    client: "MlflowClient",
    settings: Settings,
    store: Store,
    record: TrainingFacts,
    version: "ModelVersion",
    model_id: str,
) -> str:
    """Put a version's package back, and nothing else in its folder; its `PACKAGE_TAG` follows. Returns that.

    Raises:
        WorkFailed: it would lie where no package of this registry does: its address may be somebody else's word.
    """
    place = client.get_model_version_download_uri(version.name, version.version)
    root = client.get_experiment(experiment_id(client, settings)).artifact_location
    if not _is_below(place, root):
        raise WorkFailed(
            f"{version.name} version {version.version}: its package is said to be in {place}, and those of this "
            f"registry are below {root}: nothing is written there"
        )
    if (folder := local_folder(place)) and folder.is_dir() and package_damage(folder, {}):
        shutil.rmtree(folder)  # what was put in goes as well
    listed = upload_package(client, place, settings, store, record, version.run_id, model_id)
    client.set_model_version_tag(version.name, str(version.version), PACKAGE_TAG, listed)
    return listed


def listing_digest(client: "MlflowClient", place: str) -> str:
    """sha256 of the list of the package at an artefact address (`PACKAGE_TAG`)."""
    with TemporaryDirectory() as folder:
        return file_digest(Path(artifacts_at(client, place).download_artifacts(LISTING, folder)))


def _is_below(place: str, root: str) -> bool:
    """Whether an artefact address is one below another, links and all."""
    folder, above = local_folder(place), local_folder(root)
    if folder and above:
        return above.resolve() in folder.resolve().parents
    return place.startswith(f"{root.rstrip('/')}/") and ".." not in place


def write_package(
    folder: Path, settings: Settings, store: Store, record: TrainingFacts, run_id: str, model_id: str
) -> Path:
    """Write the package into a new folder inside `folder`: what `mlflow.pyfunc.load_model` loads."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    artifacts = folder / ARTIFACTS
    artifacts.mkdir()
    weights = copy_out(store, record.stages[-1], WEIGHTS, artifacts)
    facts = artifacts / FACTS_FILE
    facts.write_text(json.dumps(_facts(settings, record), indent=2) + "\n", encoding="utf-8")
    package = folder / "model"
    save_model(
        path=str(package),
        python_model=str(program("concept_model.py")),
        code_paths=[str(CODE / "model")],
        artifacts={"weights": str(weights), "facts": str(facts)},
        signature=_signature(record),
        input_example=[{"prompt": "a photo of a {} in the snow", "n": 1, "seed": 0}],
        pip_requirements=[f"{name}=={_public(version(name))}" for name in NEEDED],
        mlflow_model=Model(run_id=run_id, model_id=model_id),
    )
    # here and not in the release alone: a release is this package byte for byte, and candidates are loaded as well
    card = model_card(record, usage=_USAGE.format(name=record.concept.name), library="mlflow")
    (package / CARD).write_text(card, encoding="utf-8")
    write_listing(package)
    return package


def _facts(settings: Settings, record: TrainingFacts) -> dict[str, Any]:
    return {
        "format": FACTS_FORMAT,
        "concept": record.concept.name,
        "key": record.key,
        "method": record.method,
        "autocast": record.evaluation.numeric_policy["autocast"],
        # What was drawn for the evaluation fitted into memory; an older record need not say it.
        "batch_size": record.evaluation.parameters.get("batch_size", Sampling().batch_size),
        "base": _base_facts(settings, record),
    }


def _base_facts(settings: Settings, record: TrainingFacts) -> dict[str, Any]:
    """Where the base was, where a copy is, and the hash of each of its files: what is found must be the same."""
    reference, revision = record.base["reference"], record.base["revision"]
    if revision is None:
        folder = settings.root / reference
    else:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(reference, revision=revision, local_files_only=True))
    files = dict(record.base.get("files", {})) if revision is None else {}
    if not files:
        memory = DigestMemory(settings.home / "digests.json")
        files = memory.folder(folder, MODEL_SUFFIXES)
        memory.save()
    facts = {"reference": reference, "revision": revision, "folder": str(folder), "files": files}
    return facts if revision else facts | {"store": str(settings.store)}


def _signature(record: TrainingFacts) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    text, whole, number = DataType.string, DataType.long, DataType.double
    sampling = record.evaluation.parameters
    # Any type: MLflow refuses a column of whole numbers as soon as one row has none. The model itself proves them.
    inputs = [ColSpec(text, "prompt"), *(ColSpec(AnyType(), name, required=False) for name in ("n", "seed"))]
    outputs = [ColSpec(text, "prompt"), ColSpec(whole, "seed"), ColSpec(whole, "index"), ColSpec(text, "image")]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema(outputs),
        params=ParamSchema(
            [
                ParamSpec("guidance_scale", number, float(sampling["guidance_scale"])),
                ParamSpec("num_inference_steps", whole, int(sampling["num_inference_steps"])),
                *(ParamSpec(name, number, float(sampling.get(name, 0))) for name in MOVES),
            ]
        ),
    )


def _public(distribution_version: str) -> str:
    """2.13.0 of 2.13.0+cpu: what another machine's package index has."""
    return distribution_version.partition("+")[0]

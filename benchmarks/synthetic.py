"""Projects of many trained concepts, made up quickly: real images sets, plans, keys, manifests and records.

Only the contents are made up, and they are written straight to where the store keeps them: publishing 100,000 files
properly would wait for the disk for minutes.
"""

import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tasks.concepts.concepts import concept_names
from tasks.dvc.folder_hash import folder_digest, folder_files
from tasks.jobs.jobs import Job, plan_jobs
from tasks.jobs.keys import StagePlan
from tasks.plan.last_training import last_training_of, write_last_training
from tasks.project.settings import Settings
from tasks.promotion.policy import load_policy
from tasks.registry.reference import CANDIDATE
from tasks.registry.training_facts import content_key
from tasks.registry.versions import GATE_TAG, model_name
from tasks.store.manifest import FileRecord, Input, Manifest
from tasks.store.store import open_store
from tasks.tracking.client import connect

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES, IMAGE_BYTES = 5, 20_000
CREATED = "2026-01-01T00:00:00+00:00"


def make_project(root: Path, concepts: int) -> Settings:
    """A committed project with this repository's params.yaml and models, and concepts of five images of 20 kB each."""
    for name in ("params.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", "mlflow/promotion.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    shutil.copytree(REPOSITORY / "data" / "prompts", root / "data" / "prompts")
    (root / "toyworld").symlink_to(REPOSITORY / "toyworld")
    (root / ".gitignore").write_text(".conceptbooth/\n/toyworld\n")
    noise = random.Random(0)
    for number in range(concepts):
        folder = root / "data" / "concepts" / f"concept-{number:04}"
        (folder / "images").mkdir(parents=True)
        for image in range(IMAGES):
            (folder / "images" / f"{image:02}.png").write_bytes(noise.randbytes(IMAGE_BYTES))
        facts = {"super_category": "turtle", "licence": "MIT", "source": "made up", "consent": "none needed"}
        (folder / "concept.yaml").write_text(yaml.safe_dump(facts))
        files = folder_files(folder / "images")
        out = {"md5": folder_digest(files), "size": IMAGES * IMAGE_BYTES, "nfiles": IMAGES, "path": "images"}
        (folder / "images.dvc").write_text(yaml.safe_dump({"outs": [out]}))
        (folder / ".gitignore").write_text("/images\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "made up"]):
        identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
        subprocess.run(["git", *identity, *command], cwd=root, check=True)
    return Settings(root=root)


def train_everything(settings: Settings) -> None:
    """Let every concept look trained and registered; the records are written by the code that the flow uses."""
    store, jobs = open_store(settings), plan_jobs(settings, concept_names(settings))
    versions = []
    for job in jobs:
        manifests = {plan.stage: _made(settings, job, plan) for plan in job.stages}
        interval = {"mean": 0.7, "low": 0.68, "high": 0.72}
        scores = dict.fromkeys(("clip_i", "clip_t", "base_clip_i", "base_clip_t"), interval)
        write_last_training(store, settings, last_training_of(job, manifests, 1, scores))
        versions.append((job.concept.name, content_key(manifests), {name: m.key for name, m in manifests.items()}))
    _register(settings, versions)


def files_of(job: Job, plan: StagePlan) -> list[str]:
    """What a stage leaves, by name."""
    evaluation = job.recipe.params.evaluation
    match plan.kind:
        case "prepare":
            return ["images.json", *(f"images/{number:02}.png" for number in range(IMAGES))]
        case "train":
            return ["concept.safetensors", "curves.json"]
        case "evaluate":
            prompts = [f"{number:02}" for number in range(len(job.recipe.prompts))]
            counts = {"generations": evaluation.images_per_prompt, "base": evaluation.base_images_per_prompt}
            drawn = [
                f"{room}/{p:02}/{n:02}.png" for room, count in counts.items() for p in prompts for n in range(count)
            ]
            views = ("preview.png", "attention_placeholder.png", "attention_super_category.png")
            return ["scores.json", *drawn, *(f"stages/{s.name}/{v}" for s in job.recipe.method.stages for v in views)]
        case _:
            return ["gallery.png", "index.html"]


def _made(settings: Settings, job: Job, plan: StagePlan) -> Manifest:
    files = {}
    for name in files_of(job, plan):
        content = f"{plan.key} {name}".encode()
        record = FileRecord(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        path = Path(str(settings.store)) / "cas" / "sha256" / record.sha256[:2] / record.sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = record
    manifest = Manifest(
        stage=plan.stage,
        key=plan.key,
        inputs=tuple(Input(kind=kind, key=key, digest=key) for kind, key in plan.reads.items()),
        parameters=plan.parameters,
        code=plan.code,
        packages=plan.packages,
        seed=plan.seed,
        numeric_policy=plan.numeric_policy,
        device="cpu",
        wall_seconds=1.0,
        labels=job.labels,
        files=files,
        created=CREATED,
    )
    path = Path(str(settings.store)) / "stages" / plan.stage / plan.key / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _register(settings: Settings, versions: list[tuple[str, str, dict[str, str]]]) -> None:
    """Rows in MLflow's own tables: one version each, with the tags of a registration and a verdict."""
    from mlflow.store.model_registry.dbmodels.models import (
        SqlModelVersion,
        SqlModelVersionTag,
        SqlRegisteredModel,
        SqlRegisteredModelAlias,
    )
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    Path(settings.mlflow_tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    connect(settings)
    verdict = {"passed": True, "champion": None, "policy": load_policy(settings).digest, "checks": []}
    rows: list[Any] = []
    for concept, content, keys in versions:
        name = model_name(concept)
        tags = {"conceptbooth.key": content, GATE_TAG: json.dumps(verdict)}
        tags |= {f"conceptbooth.stage.{stage}": key for stage, key in keys.items()}
        rows += [SqlRegisteredModel(name=name), SqlRegisteredModelAlias(name=name, alias=CANDIDATE, version=1)]
        rows.append(SqlModelVersion(name=name, version=1, source="none", current_stage="None", status="READY"))
        rows += [SqlModelVersionTag(name=name, version=1, key=key, value=value) for key, value in tags.items()]
    with Session(create_engine(settings.mlflow_tracking_uri)) as session:
        session.add_all(rows)
        session.commit()

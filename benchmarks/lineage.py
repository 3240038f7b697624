"""How long it takes to find every model that saw an image: `python -m benchmarks.lineage [--versions 10000]`.

A store of made-up manifests and a registry of made-up versions, ten of each concept, with five images a concept. The
whole command is timed, from Python's start on.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.output.console import BAD_INPUT, DONE
from tasks.concepts.image_checks import named_fingerprint
from tasks.project.settings import Settings
from tasks.registry.training_facts import evaluated_content
from tasks.registry.versions import EVALUATION_TAG, GALLERY_TAG, KEY_TAG, model_name
from tasks.store.manifest import FileRecord, Input, Manifest
from tasks.tracking.client import connect

VERSIONS_PER_CONCEPT, IMAGES = 10, 5
TRAININGS = ("train-1-embedding", "train-2-cross_attention", "train-3-unet")
CODE = {f"model.part_{number}": "0123456789abcdef" for number in range(15)}


def main() -> None:
    """Build, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    versions = parser.parse_args().versions
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(root=Path(folder))
        (settings.root / "params.yaml").touch()
        evaluations = [build(settings, number) for number in range(versions)]
        register(settings, evaluations)
        picture = settings.root / "asked.jpg"
        photograph(7, 2).resize((200, 200)).save(picture, quality=75)
        part = settings.root / "part.jpg"
        photograph(7, 2).crop((10, 5, 128, 120)).resize((200, 200)).save(part, quality=75)
        asked, near = ["--image", image_facts(7, 2)["sha256"]], ["--near", str(picture)]
        table = Table("question", "seconds", "of them computing", "found", title=f"{versions:,} versions")
        row(table, "first, with the index to build", settings, asked)
        row(table, "by sha256", settings, asked)
        row(table, "by sha256, again", settings, asked)
        row(table, "by looks", settings, near)
        row(table, "by looks, of a part of it", settings, ["--near", str(part)])
        build(settings, versions)
        row(table, "by sha256, after one more training", settings, asked)
        row(table, "an image that nobody saw", settings, ["--image", "0" * 64])
        Console().print(table)


def row(table: Table, question: str, settings: Settings, arguments: list[str]) -> None:
    """Ask once, in a process of its own."""
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "lineage", *arguments, "--json"]
    started, used = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, cwd=settings.root, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode not in (DONE, BAD_INPUT):  # bad input is an image that nobody saw
        raise SystemExit(done.stderr)
    seconds, busy = time.perf_counter() - started, processor_seconds() - used
    found = len(json.loads(done.stdout)["found"]) if done.returncode == DONE else 0
    table.add_row(question, f"{seconds:.2f}", f"{busy:.2f}", str(found))


def processor_seconds() -> float:
    """What finished commands have computed: on a machine that does other things as well, the figure to look at."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def environment() -> dict[str, str]:
    """Of the command: this checkout's code, nothing of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONCEPTBOOTH_", "MLFLOW_"))}
    return kept | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def build(settings: Settings, number: int) -> Manifest:
    """Write the manifests of one training; returns that of its evaluation."""
    concept = number // VERSIONS_PER_CONCEPT
    prepared = digest("prepare", concept)
    if number % VERSIONS_PER_CONCEPT == 0:
        images = tuple(image_facts(concept, place) for place in range(IMAGES))
        for place, image in enumerate(images):
            content = settings.store / "cas" / "sha256" / image["sha256"][:2] / image["sha256"]
            content.parent.mkdir(parents=True, exist_ok=True)
            content.write_bytes(png(concept, place))
        write(settings, "prepare", prepared, concept, {}, images=images)
    trainings = {stage: digest(stage, number) for stage in TRAININGS}
    for before, stage in zip((None, *TRAININGS), TRAININGS, strict=False):
        read = {"prepare": prepared} | ({before: trainings[before]} if before else {})
        write(settings, stage, trainings[stage], concept, read)
    evaluation = write(settings, "evaluate", digest("evaluate", number), concept, {"prepare": prepared, **trainings})
    write(settings, "gallery", digest("gallery", number), concept, {"prepare": prepared, "evaluate": evaluation.key})
    return evaluation


def write(settings: Settings, stage: str, key: str, concept: int, read: dict[str, str], **facts: Any) -> Manifest:
    """Put a manifest where the store has it; publishing 50,000 properly would wait for the disk for minutes."""
    images = facts.get("images", ())
    files = {image["file"]: FileRecord(sha256=image["sha256"], size=image["size"]) for image in images}
    manifest = Manifest(
        stage=stage,
        key=key,
        inputs=tuple(Input(kind=kind, key=of, digest=of) for kind, of in read.items()),
        parameters={},
        code=CODE,
        packages={"torch": "2.13.0"},
        seed=0,
        numeric_policy={"device": "cpu"},
        device="cpu",
        wall_seconds=1.0,
        labels={"concept": f"concept-{concept}", "method": "attndreambooth"},
        stated={"licence": "MIT", "source": "made up", "consent": "none needed", "images": []},
        files=files or {"file": FileRecord(sha256=digest("file", key), size=1)},
        created="2026-01-01T00:00:00+00:00",
        **facts,
    )
    path = settings.store / "stages" / stage / key / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def image_facts(concept: int, place: int) -> dict[str, Any]:
    """What a manifest says of one image."""
    content = png(concept, place)
    return {
        "file": f"images/{place:02}.png",
        "made_from": f"{place:02}.png",
        "sha256": hashlib.sha256(content).hexdigest(),
        "fingerprint": named_fingerprint(photograph(concept, place)),
        "md5": None,
        "size": len(content),
    }


@lru_cache(maxsize=IMAGES)
def png(concept: int, place: int) -> bytes:
    """One image as a file."""
    buffer = io.BytesIO()
    photograph(concept, place).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def photograph(concept: int, place: int) -> Image.Image:
    """A picture with large and small patches, another one for each place."""
    patches = np.random.default_rng((concept, place)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((128, 128), Image.Resampling.BICUBIC)


def register(settings: Settings, evaluations: list[Manifest]) -> None:
    """Rows in MLflow's own database, by its own tables: a version for each evaluation, the newest with an alias."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag, SqlRegisteredModel
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias as SqlAlias
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    Path(settings.mlflow_tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    connect(settings)
    rows: list[Any] = []
    for place, evaluation in enumerate(evaluations):
        concept, number = divmod(place, VERSIONS_PER_CONCEPT)
        name, version = model_name(f"concept-{concept}"), number + 1
        if number == 0:
            rows.append(SqlRegisteredModel(name=name))
            rows.append(SqlAlias(name=name, alias="candidate", version=VERSIONS_PER_CONCEPT))
        rows.append(SqlModelVersion(name=name, version=version, source="none", current_stage="None", status="READY"))
        tags = {
            KEY_TAG: evaluated_content(evaluation),
            EVALUATION_TAG: evaluation.key,
            GALLERY_TAG: digest("gallery", place),
            **{f"conceptbooth.stage.{entry.kind}": entry.key for entry in evaluation.inputs},
        }
        rows += [SqlModelVersionTag(name=name, version=version, key=key, value=value) for key, value in tags.items()]
    with Session(create_engine(settings.mlflow_tracking_uri)) as session:
        session.add_all(rows)
        session.commit()


def digest(*what: object) -> str:
    """A sha256 that is always the same."""
    return hashlib.sha256(repr(what).encode()).hexdigest()


if __name__ == "__main__":
    main()

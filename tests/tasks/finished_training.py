"""A finished training as the store holds it, made in milliseconds: real store, real manifests, made-up contents."""

import atexit
import io
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save as safetensors_bytes

from tasks.concepts.concepts import Concept
from tasks.project.settings import Settings
from tasks.store.manifest import Facts, Input, Manifest
from tasks.store.store import Store, open_store
from tasks.tracking.client import connect

DATA_VERSION = "0123456789abcdef0123456789abcdef.dir"
STAGES = ("train-1-embedding", "train-2-cross_attention", "train-3-unet")
PROMPTS = ("a photo of a {} in the snow", "a pencil sketch of a {}")
STEPS = 30


def project(root: Path, **settings: object) -> Settings:
    """An empty project with a base that is only a name, and an MLflow database that is ready and empty."""
    (root / "base" / "unet").mkdir(parents=True)
    (root / "base" / "unet" / "config.json").write_text("{}")
    (root / "params.yaml").touch()
    database = root / ".conceptbooth" / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(migrated_database(), database)
    return Settings(**{"root": root, "mlflow_tracking_uri": f"sqlite:///{database}", **settings})


@cache
def migrated_database() -> Path:
    """Made once: MLflow's migrations take seconds."""
    folder = Path(tempfile.mkdtemp(prefix="conceptbooth-mlflow-"))
    atexit.register(shutil.rmtree, folder)
    connect(Settings(root=folder, mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db"))
    return folder / "mlflow.db"


def concept(settings: Settings, name: str = "turtle") -> Concept:
    """A concept; its images are not needed to register it."""
    return Concept(
        name=name,
        folder=settings.concepts_dir / name,
        super_category="turtle",
        licence="MIT",
        source="rendered",
        consent="none needed",
    )


def training(
    settings: Settings, seed: int = 0, weights: bytes | None = None, page: bytes = b"<html></html>"
) -> dict[str, Manifest]:
    """The manifests of a whole training; another seed is another content, another page only another gallery."""
    store, scratch = open_store(settings), settings.home / "scratch" / str(seed)
    images = {f"images/{index:02d}.png": _png(index) for index in range(4)}
    inputs = (Input(kind="image_set", key=DATA_VERSION, digest=DATA_VERSION),)
    manifests = {"prepare": _publish(store, scratch, "prepare", seed, images, inputs)}
    for index, stage in enumerate(STAGES):
        files = {
            "concept.safetensors": weights
            or safetensors_bytes({"embedding": np.full((1, 8), seed + index, np.float32)}),
            "curves.json": json.dumps(_curve(index)).encode(),
        }
        parameters = {
            "stage": {"name": stage.split("-")[2], "learning_rate": 10.0 ** -(3 + index), "max_train_steps": STEPS}
        }
        manifests[stage] = _publish(store, scratch, stage, seed, files, (), parameters)
    files = {"scores.json": json.dumps(_scores()).encode()}
    for index in range(len(PROMPTS)):
        files |= {f"generations/{index:02d}/00.png": _png(index), f"base/{index:02d}/00.png": _png(index + 50)}
    for index, stage in enumerate(STAGES):
        for name in ("preview.png", "attention_placeholder.png", "attention_super_category.png"):
            files[f"stages/{stage.split('-')[2]}/{name}"] = _png(index + len(name))
    drawing = {"guidance_scale": 3.0, "num_inference_steps": 4, "batch_size": 3}
    drawing |= {"images_per_prompt": 1, "prompts": list(PROMPTS)}
    manifests["evaluate"] = _publish(store, scratch, "evaluate", seed, files, (), drawing)
    gallery = {"gallery.png": _png(7), "index.html": page}
    manifests["gallery"] = _publish(store, scratch, "gallery", seed + len(page), gallery, ())
    return manifests


def _publish(
    store: Store,
    scratch: Path,
    stage: str,
    seed: int,
    files: dict[str, bytes],
    inputs: tuple[Input, ...],
    parameters: dict[str, object] | None = None,
) -> Manifest:
    folder = scratch / stage
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    facts = Facts(
        stage=stage,
        key=f"{stage}-{seed}".encode().hex().ljust(64, "0")[:64],
        inputs=inputs,
        parameters=parameters or {},
        code={"model/training/train.py": "c0de"},
        packages={"torch": "2.13.0"},
        seed=seed,
        numeric_policy={"device": "cpu", "weights": "float32", "autocast": "none"},
        device="cpu",
        wall_seconds=12.5,
        metrics={"samples_per_second": [40.0] * len(_curve(0))},
        base={"reference": "base", "revision": None, "digest": "ba5e"},
        git={"commit": "a" * 40, "dirty": False},
        labels={"concept": "turtle", "method": "attndreambooth", "preset": "toyworld", "image_set_state": "clean"},
    )
    return store.publish(folder, facts)


def _curve(stage: int) -> list[dict[str, float]]:
    return [
        {
            "step": step,
            "loss": 0.5 - 0.01 * step + stage,
            "attention_loss": 0.001 * step,
            "learning_rate": 10.0 ** -(3 + stage),
            "grad_norm": 1.0,
            "max_train_steps": STEPS,
        }
        for step in (1, 10, 20, STEPS)
    ]


def _scores() -> dict[str, object]:
    def around(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}

    prompts = [{"prompt": prompt, "clip_i": around(0.7), "clip_t": around(0.3)} for prompt in PROMPTS]
    return {
        "clip_i": around(0.71),
        "clip_t": around(0.31),
        "base_clip_i": around(0.45),
        "base_clip_t": around(0.33),
        "images_per_prompt": 1,
        "evaluator": "evaluator",
        "prompts": prompts,
    }


def _png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade * 3 % 256, 80, 160)).save(buffer, "PNG")
    return buffer.getvalue()

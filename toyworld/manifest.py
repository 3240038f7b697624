"""Assemble what ships: the base as a diffusers pipeline folder, and the manifest that says how everything was made."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from toyworld import denoiser
from toyworld.domain import write_domain

ROOM = Path(__file__).parent
BASE, EVALUATOR, MANIFEST = ROOM / "base", ROOM / "evaluator", ROOM / "manifest.json"
MOST_BYTES = 25_000_000
PACKAGES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def assemble_base(work: Path, minutes: dict[str, float] | None = None, folder: Path = BASE) -> dict[str, object]:
    """Write the averaged denoiser and its companions as a float16 `StableDiffusionPipeline` folder."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline
    from safetensors.torch import load_file
    from transformers import CLIPTextModel, CLIPTokenizer

    vae = AutoencoderKL.from_pretrained(work / "vae-polished")
    text_encoder = CLIPTextModel.from_pretrained(work / "text_encoder")
    unet = denoiser.build(denoiser.Recipe(), vae.config.latent_channels, text_encoder.config.hidden_size)
    unet.load_state_dict(load_file(work / "unet-ema.safetensors"))
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=text_encoder.half(),
        tokenizer=CLIPTokenizer.from_pretrained(work / "tokenizer"),
        unet=unet.half(),
        scheduler=denoiser.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    write_domain(folder)
    for name in ("text_encoder", "unet", "vae"):
        make_portable(folder / name)
    return {"parameters": {name: getattr(pipeline, name).num_parameters() for name in ("unet", "vae", "text_encoder")}}


def make_portable(folder: Path) -> None:
    """Forget where a model came from, and load it in float32 unless asked otherwise: half is for storage."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    if "dtype" in config:
        config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def one_thread() -> dict[str, str]:
    """The environment of a process that shall use one core."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def digests(folders: Sequence[Path] = (BASE, EVALUATOR), room: Path = ROOM) -> dict[str, dict[str, object]]:
    """Size and sha256 of every shipped file; paths relative to this room."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(room).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }


def write(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Write `manifest.json`; ValueError if the weights are larger than may be committed."""
    files = digests()
    size = sum(int(str(entry["bytes"])) for entry in files.values())
    if size > MOST_BYTES:
        raise ValueError(f"base and evaluator take {size} bytes, at most {MOST_BYTES} may ship")
    content = {"command": "python -m toyworld.build", **circumstances(work), "files": files}
    MANIFEST.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return {"files": len(files), "bytes": size}


def circumstances(work: Path) -> dict[str, object]:
    """Where and with what the models in a work folder were made, and what each stage says of itself."""
    stages = {
        path.stem: json.loads(path.read_text("utf-8"))
        for path in sorted((work / "facts").glob("*.json"))
        if path.stem != "manifest"
    }
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOM, capture_output=True, text=True, check=True
    ).stdout.strip()
    notes = work / "notes.txt"  # what a person has to say about this run, if it was not one plain command
    return {
        "commit": commit,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": f"{sys.platform} {platform.machine()}, {os.cpu_count()} cores",
        "notes": notes.read_text("utf-8").splitlines() if notes.exists() else [],
        "stages": stages,
    }

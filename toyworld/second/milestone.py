"""The base that ships, and the milestones on the way to it: averaged weights in float16 as a diffusers pipeline folder.

A milestone and its manifest hold all that a later training needs: it goes on from these weights with a new optimiser.
"""

import json
import shutil
from pathlib import Path

from toyworld import denoiser as shared
from toyworld import manifest
from toyworld.manifest import ROOM, make_portable

BASE, MANIFEST = ROOM / "base-128", ROOM / "manifest-128.json"


def exists() -> bool:
    """Whether a base is there that training can go on from."""
    return BASE.is_dir() and MANIFEST.is_file()


def samples(path: Path = MANIFEST) -> int:
    """How many samples the milestone's denoiser has seen."""
    return int(json.loads(path.read_text("utf-8"))["stages"]["unet"]["samples"])


def assemble(work: Path, folder: Path = BASE, manifest_path: Path = MANIFEST) -> dict[str, object]:
    """Write the averaged weights in the work folder as a float16 `StableDiffusionPipeline` folder, and its manifest."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline
    from safetensors import safe_open
    from safetensors.torch import load_file
    from transformers import CLIPTokenizer

    from toyworld.second import denoiser
    from toyworld.second.painter import Painter, Recipe

    recipe, tokenizer = Recipe(), CLIPTokenizer.from_pretrained(work / "tokenizer")
    painter = Painter(recipe, tokenizer)
    painter.load_state_dict(load_file(work / denoiser.EMA))
    with safe_open(work / denoiser.EMA, "pt") as file:
        seen = int(file.metadata()["samples"])
    polished = work / "vae-polished"
    vae = AutoencoderKL.from_pretrained(polished if polished.exists() else work / "vae", dtype=torch.float32)
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=painter.text.half(),
        tokenizer=tokenizer,
        unet=painter.unet.half(),
        scheduler=shared.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    if folder.exists():
        shutil.rmtree(folder)
    pipeline.save_pretrained(folder)
    for name in ("text_encoder", "unet", "vae"):
        make_portable(folder / name)
    facts: dict[str, object] = {
        "samples": seen,
        "parameters": {name: getattr(pipeline, name).num_parameters() for name in ("unet", "vae", "text_encoder")},
    }
    made = manifest.circumstances(work)
    stages = dict(made["stages"]) | {"unet": denoiser.facts(work, recipe) | facts}  # type: ignore[call-overload]
    content = {
        "command": "python -m toyworld.second.build",
        **made,
        "stages": stages,
        "files": manifest.digests([folder], folder.parent),
    }
    manifest_path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return facts

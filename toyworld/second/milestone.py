"""The base that ships, and the milestones on the way to it: averaged weights in float16 as a diffusers pipeline folder.

A milestone holds all that a later training needs: it goes on from these weights with a fresh optimiser.
"""

import json
import shutil
from pathlib import Path

from toyworld import denoiser as shared
from toyworld.manifest import ROOM, make_portable

BASE = ROOM / "base-128"
FACTS = "training.json"


def exists(folder: Path = BASE) -> bool:
    """Whether a base is there that training can go on from."""
    return (folder / FACTS).is_file()


def assemble(work: Path, folder: Path = BASE) -> dict[str, object]:
    """Write the averaged weights in the work folder as a float16 `StableDiffusionPipeline` folder, with its history."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline
    from safetensors import safe_open
    from safetensors.torch import load_file
    from transformers import CLIPTokenizer

    from toyworld.second import denoiser

    recipe, tokenizer = denoiser.Recipe(), CLIPTokenizer.from_pretrained(work / "tokenizer")
    painter = denoiser.Painter(recipe, tokenizer)
    painter.load_state_dict(load_file(work / denoiser.EMA))
    with safe_open(work / denoiser.EMA, "pt") as file:
        samples = int(file.metadata()["samples"])
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
    parameters = {name: getattr(pipeline, name).num_parameters() for name in ("unet", "vae", "text_encoder")}
    facts = denoiser.facts(work, recipe) | {"samples": samples, "parameters": parameters}
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return {"samples": samples, "parameters": parameters}

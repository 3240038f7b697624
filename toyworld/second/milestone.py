"""The base that ships, and the milestones on the way to it: averaged weights in float16 as a diffusers pipeline folder.

A milestone and its manifest hold all that a later training needs: it goes on from these weights with a new optimiser.
The first milestone is the autoencoder alone, on whose latents everything else stands.
"""

import json
import shutil
from pathlib import Path

from toyworld import denoiser as shared
from toyworld import manifest
from toyworld.domain import write_domain
from toyworld.manifest import ROOM, make_portable

BASE, MANIFEST = ROOM / "base-128", ROOM / "manifest-128.json"


def has(part: str) -> bool:
    """Whether a part of the committed base (vae, unet) is there that training can go on from."""
    return (BASE / part).is_dir()


def stage(name: str, path: Path | None = None) -> dict[str, object]:
    """What the committed base's manifest says of a stage of its making."""
    facts: dict[str, object] = json.loads((path or MANIFEST).read_text("utf-8"))["stages"][name]
    return facts


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
    write_domain(folder)
    facts: dict[str, object] = {
        "samples": seen,
        "parameters": {name: getattr(pipeline, name).num_parameters() for name in ("unet", "vae", "text_encoder")},
    }
    made = manifest.circumstances(work)
    stages = dict(made["stages"]) | {"unet": denoiser.facts(work, recipe) | facts}  # type: ignore[call-overload]
    _describe(made | {"stages": stages}, folder, manifest_path)
    return facts


def keep_autoencoder(work: Path, folder: Path = BASE, manifest_path: Path = MANIFEST) -> dict[str, object]:
    """Write the autoencoder alone, and its manifest: a milestone before there is a denoiser worth to be kept."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(work / "vae", dtype=torch.float32)
    vae.half().save_pretrained(folder / "vae")
    make_portable(folder / "vae")
    _describe(manifest.circumstances(work), folder, manifest_path)
    return {"parameters": vae.num_parameters()}


def _describe(made: dict[str, object], folder: Path, manifest_path: Path) -> None:
    files = manifest.digests([folder], folder.parent)
    content = {"command": "python -m toyworld.second.build", **made, "files": files}
    manifest_path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")

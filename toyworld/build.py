"""Build the embedded base and its evaluator from nothing: `python -m toyworld.build`, or single stages by name.

Stages, in order: art, world, text, vae, latents, unet, polish, base, judged, clip, vit, checks, sheets, manifest. A
stage whose facts lie in the work folder is skipped; delete them to make it again. The denoiser's stage resumes from its
checkpoint.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from toyworld import autoencoder, checks, dataset, denoiser, evaluator, manifest, sheets, text_encoder, tokenizer
from toyworld.art import check
from toyworld.contrast import tokenize
from toyworld.training import WallClock

WORK = Path(".conceptbooth/toyworld")
SHARDS = 8  # of the base's pictures: 64,000
MINUTES = {"text": 12.0, "vae": 22.0, "unet": 80.0, "polish": 10.0, "clip": 20.0, "vit": 15.0}
PROCESSES = 2


def art(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Check that every piece of art is there."""
    return {"pieces": check()}


def world(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Render the base's training pictures."""
    return _render(work / "world", SHARDS, with_held_out=False)


def judged(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Render the evaluator's training pictures, the held-out art among them."""
    return _render(work / "judged", evaluator.SHARDS, with_held_out=True)


def text(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Tokenizer and text encoder."""
    images, rows = dataset.load(work / "world", 2)
    words = tokenizer.build()
    encoder, seen = text_encoder.train_text_encoder(
        words, images, [row["caption"] for row in rows], WallClock(minutes["text"] * 60), work / "text.log"
    )
    words.save_pretrained(work / "tokenizer")
    encoder.save_pretrained(work / "text_encoder")
    return {"seed": text_encoder.SEED, "samples": seen, "parameters": encoder.num_parameters()}


def vae(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """The autoencoder: reconstruct, whiten, go on with noise."""
    images, _ = dataset.load(work / "world", 2)
    held_back, images = images[-512:], images[:-512]
    recipe = autoencoder.Recipe()
    torch.manual_seed(recipe.seed)
    model, logfile, seconds = autoencoder.build(recipe), work / "vae.log", minutes["vae"] * 60
    seen = autoencoder.train_phase(model, images, recipe, WallClock(seconds * 0.4), phase="first", logfile=logfile)
    before = autoencoder.psnr(model, held_back)
    autoencoder.whiten(model, images[:2048], recipe.latent_noise)
    seen += autoencoder.train_phase(model, images, recipe, WallClock(seconds * 0.6), phase="noisy", logfile=logfile)
    latents = autoencoder.encode(model, images[:2048])
    model.register_to_config(scaling_factor=1.0 / float(latents.std()))
    model.save_pretrained(work / "vae")
    facts = {
        "samples": seen,
        "psnr_first": before,
        "psnr": autoencoder.psnr(model, held_back),
        "parameters": model.num_parameters(),
    }
    return {"recipe": asdict(recipe), **facts, **autoencoder.statistics(latents)}


def latents(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Encode all pictures and captions once; the denoiser sees nothing else."""
    model, encoder = AutoencoderKL.from_pretrained(work / "vae"), CLIPTextModel.from_pretrained(work / "text_encoder")
    images, rows = dataset.load(work / "world", SHARDS)
    captions = ["", *sorted({row["caption"] for row in rows})]
    number = {caption: i for i, caption in enumerate(captions)}
    states = text_encoder.text_states(encoder, tokenize(CLIPTokenizer.from_pretrained(work / "tokenizer"), captions))
    encoded = autoencoder.encode(model, images) * model.config.scaling_factor
    which = torch.tensor([number[row["caption"]] for row in rows])
    save_file({"latents": encoded.contiguous(), "states": states, "caption": which}, work / "latents.safetensors")
    return {"captions": len(captions), **autoencoder.statistics(encoded[: dataset.SHARD])}


def unet(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """The denoiser, in PROCESSES processes."""
    until = time.time() + minutes["unet"] * 60
    code = "from pathlib import Path; from toyworld.denoiser import Recipe, train; train(Path({!r}), Recipe(), {})"
    places = [f"rank={rank}, world={PROCESSES}, until={until}" for rank in range(PROCESSES)]
    _together([[sys.executable, "-c", code.format(str(work), place)] for place in places])
    return denoiser.facts(work, denoiser.Recipe())


def polish(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Train the decoder on, on latents that are final."""
    images, _ = dataset.load(work / "world", 2)
    held_back, images = images[-512:], images[:-512]
    model, recipe = AutoencoderKL.from_pretrained(work / "vae"), autoencoder.Recipe()
    seen = autoencoder.train_phase(
        model, images, recipe, WallClock(minutes["polish"] * 60), phase="polish", logfile=work / "vae.log"
    )
    model.save_pretrained(work / "vae-polished")
    return {"samples": seen, "psnr": autoencoder.psnr(model, held_back)}


STAGES: dict[str, Callable[[Path, dict[str, float]], dict[str, object]]] = {
    "art": art,
    "world": world,
    "text": text,
    "vae": vae,
    "latents": latents,
    "unet": unet,
    "polish": polish,
    "base": manifest.assemble_base,
    "judged": judged,
    "clip": evaluator.clip_stage,
    "vit": evaluator.vit_stage,
    "checks": checks.build_stage,
    "sheets": sheets.build_stage,
    "manifest": manifest.write,
}


def _render(folder: Path, shards: int, *, with_held_out: bool) -> dict[str, object]:
    """Render shards, one process a core."""
    code = "from pathlib import Path; from toyworld.dataset import render_shard\n"
    code += "for n in range({}, {}, {}): render_shard(Path({!r}), n, with_held_out={})"
    jobs = [code.format(k, shards, PROCESSES, str(folder), with_held_out) for k in range(PROCESSES)]
    _together([[sys.executable, "-c", job] for job in jobs])
    return {"pictures": shards * dataset.SHARD}


def _together(commands: list[list[str]]) -> None:
    """Run commands at once, one core each; stop all and raise if one fails."""
    running = [subprocess.Popen(command, env={**manifest.one_thread()}) for command in commands]
    try:
        for process in running:
            if process.wait():
                raise subprocess.CalledProcessError(process.returncode, process.args)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()


def main() -> None:
    """Run the stages that are named, or all that are not done."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.build", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; none: all")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for everything between the stages")
    for name, default in MINUTES.items():
        parser.add_argument(
            f"--{name}-minutes", type=float, default=default, help=f"wall-clock budget (default {default:g})"
        )
    options = parser.parse_args()
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"unknown stages {unknown}; there are {', '.join(STAGES)}")
    options.work.mkdir(parents=True, exist_ok=True)
    minutes = {name: getattr(options, f"{name}_minutes") for name in MINUTES}
    for name in options.stages or STAGES:
        facts = options.work / "facts" / f"{name}.json"
        if facts.exists() and not options.stages:
            print(f"{name}: done before, {facts}")
            continue
        started = time.monotonic()
        result = {**STAGES[name](options.work, minutes), "wall_seconds": round(time.monotonic() - started, 1)}
        facts.parent.mkdir(exist_ok=True)
        facts.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
        print(f"{name}: {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()

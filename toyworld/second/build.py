"""Build the second edition of the embedded base: `python -m toyworld.second.build`, or single stages by name.

A stage whose facts lie in the work folder is skipped unless it is named. Rendering, encoding and the denoiser go on
where they were stopped: shards that are there stay, the denoiser has a checkpoint, and what was rendered since is
picked up. Where the work folder holds nothing yet, everything goes on from the milestone in toyworld/base-128 if there
is one, unless --from-nothing.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from toyworld import autoencoder, manifest, tokenizer
from toyworld.second import art, dataset, denoiser, evaluator, milestone, sheets
from toyworld.second.captions import all_words
from toyworld.second.painter import Recipe
from toyworld.second.world import SIZE
from toyworld.training import Steps

WORK = Path(".conceptbooth/toyworld-128")
PROCESSES = 2  # of one thread each; they beat one process of two threads
VAE = autoencoder.Recipe(size=SIZE, crop=64, channels=(16, 32, 64, 96), latent_channels=8, batch=16)
JUDGED_SHARDS = 12  # of the judge's pictures
VAE_SHARDS = 2  # whose pictures the autoencoder learns from
ENTRIES, LENGTH = 2048, 77


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    work: Path = WORK
    device: str = "cpu"
    shards: int = 16
    vae_crops: int = 40_000
    """Crops of each of the autoencoder's phases."""
    polish_crops: int = 20_000
    until: int = 1_200_000
    cooldown: int = 200_000
    judge_steps: int = 3000
    """Of each of the judge's models, 128 pictures each."""
    minutes: float = float("inf")
    from_nothing: bool = False

    @property
    def milestone(self) -> tuple[Path, int] | None:
        """The committed base to go on from and the samples that it has seen, or None."""
        there = milestone.has("unet") and not self.from_nothing
        return (milestone.BASE, int(str(milestone.stage("unet")["samples"]))) if there else None


def art_stage(options: Options) -> dict[str, object]:
    """Check that every piece of art is there."""
    return {"pieces": art.check()}


def world(options: Options) -> dict[str, object]:
    """Render the base's training pictures; shards that are there stay."""
    return _render(options.work / "world", options.shards, with_held_out=False)


def words(options: Options) -> dict[str, object]:
    """The tokenizer, in which every word of the world is one token."""
    built = tokenizer.build(all_words(), entries=ENTRIES, length=LENGTH)
    built.save_pretrained(options.work / "tokenizer")
    return {"entries": len(built), "length": LENGTH}


def vae(options: Options) -> dict[str, object]:
    """The autoencoder: reconstruct, whiten, go on with noise, whiten again.

    A folder `vae-start` in the work folder takes the place of the first phase. A milestone's autoencoder is final and
    taken as it is.
    """
    work, recipe = options.work, VAE
    if milestone.has("vae") and not options.from_nothing:
        AutoencoderKL.from_pretrained(milestone.BASE / "vae", dtype=torch.float32).save_pretrained(work / "vae")
        return milestone.stage("vae")
    pictures, held_back = _pictures(work)
    torch.manual_seed(recipe.seed)
    logfile, seen, start = work / "vae.log", 0, work / "vae-start"
    if start.exists():
        model = AutoencoderKL.from_pretrained(start, dtype=torch.float32).to(options.device)
    else:
        model = autoencoder.build(recipe).to(options.device)
        budget = Steps(options.vae_crops // recipe.batch)
        seen = autoencoder.train_phase(model, pictures, recipe, budget, phase="first", logfile=logfile)
    before = autoencoder.psnr(model, held_back)
    autoencoder.whiten(model, pictures[:1024], recipe.latent_noise)
    budget = Steps(options.vae_crops // recipe.batch)
    seen += autoencoder.train_phase(model, pictures, recipe, budget, phase="noisy", logfile=logfile)
    autoencoder.whiten(model, pictures[:1024], recipe.latent_noise)  # exact, and the phase has correlated them again
    encoded = autoencoder.encode(model, pictures[:1024])
    model.register_to_config(scaling_factor=1.0 / float(encoded.std()))
    model.save_pretrained(work / "vae")
    facts = {"samples": seen, "psnr_first": before, "psnr": autoencoder.psnr(model, held_back)}
    return {"recipe": asdict(recipe), **facts, "parameters": model.num_parameters(), **autoencoder.statistics(encoded)}


def latents(options: Options) -> dict[str, object]:
    """Encode every shard that is there and not encoded yet."""
    code = (
        "from pathlib import Path; from toyworld.second.build import encode_shards\nencode_shards(Path({!r}), {}, {!r})"
    )
    count = PROCESSES if options.device == "cpu" else 1
    _together([code.format(str(options.work), (k, count), options.device) for k in range(count)])
    return {"pictures": len(list((options.work / denoiser.LATENTS).glob("*.safetensors"))) * dataset.SHARD}


def encode_shards(work: Path, part: tuple[int, int], device: str) -> None:
    """Encode this part (number, of so many) of the shards, scaled for the denoiser, in float16."""
    model = AutoencoderKL.from_pretrained(work / "vae").to(device)
    folder = work / denoiser.LATENTS
    folder.mkdir(exist_ok=True)
    for shard in dataset.shards(work / "world")[part[0] :: part[1]]:
        path = folder / f"{shard:03d}.safetensors"
        if not path.exists():
            encoded = autoencoder.encode(model, dataset.images(work / "world", shard)) * model.config.scaling_factor
            save_file({"latents": encoded.half().contiguous()}, path.with_suffix(".partial"))
            path.with_suffix(".partial").rename(path)


def unet(options: Options) -> dict[str, object]:
    """The denoiser with its text encoder, on the CPU in PROCESSES processes; it goes on from its checkpoint."""
    recipe, seconds = Recipe(), options.minutes * 60
    span = denoiser.Span(until=options.until, cooldown=options.cooldown, seconds=seconds)
    if options.device != "cpu":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        denoiser.train(options.work, recipe, span, device=options.device, milestone=options.milestone)
    else:
        code = "from math import inf; from pathlib import Path, PosixPath; from toyworld.second.denoiser import *\n"
        code += "train(Path({!r}), Recipe(), {!r}, rank={}, world={}, milestone={!r})"
        jobs = [code.format(str(options.work), span, k, PROCESSES, options.milestone) for k in range(PROCESSES)]
        _together(jobs)
    return denoiser.facts(options.work, recipe)


def polish(options: Options) -> dict[str, object]:
    """Train the decoder on, on latents that are final."""
    pictures, held_back = _pictures(options.work)
    model = AutoencoderKL.from_pretrained(options.work / "vae").to(options.device)
    budget = Steps(options.polish_crops // VAE.batch)
    logfile = options.work / "vae.log"
    seen = autoencoder.train_phase(model, pictures, VAE, budget, phase="polish", logfile=logfile)
    model.save_pretrained(options.work / "vae-polished")
    return {"samples": seen, "psnr": autoencoder.psnr(model, held_back)}


def base(options: Options) -> dict[str, object]:
    """Assemble toyworld/base-128 from the averaged weights as they are now."""
    return milestone.assemble(options.work)


def autoencoder_alone(options: Options) -> dict[str, object]:
    """Keep the autoencoder in toyworld/base-128: the milestone before there is a denoiser worth to be kept."""
    return milestone.keep_autoencoder(options.work)


def judged(options: Options) -> dict[str, object]:
    """Render the judge's training pictures, the held-out art and combinations among them."""
    folder = options.work / evaluator.JUDGED
    return _render(folder, JUDGED_SHARDS, with_held_out=True)


def clip(options: Options) -> dict[str, object]:
    """The judge of pictures and prompts."""
    return evaluator.clip_stage(options.work, options.judge_steps)


def vit(options: Options) -> dict[str, object]:
    """The judge of identity."""
    return evaluator.vit_stage(options.work, options.judge_steps)


def preview(options: Options) -> dict[str, object]:
    """Draw `preview.png` in the work folder from the averaged weights as they are; the training goes on meanwhile."""
    return sheets.preview(options.work)


STAGES: dict[str, Callable[[Options], dict[str, object]]] = {
    "art": art_stage,
    "world": world,
    "words": words,
    "vae": vae,
    "latents": latents,
    "unet": unet,
    "polish": polish,
    "base": base,
    "judged": judged,
    "clip": clip,
    "vit": vit,
}
EXTRA = {"preview": preview, "autoencoder": autoencoder_alone}
"""Stages that run only when they are named."""


def _render(folder: Path, shards: int, *, with_held_out: bool) -> dict[str, object]:
    code = "from pathlib import Path; from toyworld.second.dataset import render_shard\n"
    code += "for n in range({}, {}, {}): render_shard(Path({!r}), n, with_held_out={})"
    _together([code.format(k, shards, PROCESSES, str(folder), with_held_out) for k in range(PROCESSES)])
    return {"pictures": len(dataset.shards(folder)) * dataset.SHARD}


def _pictures(work: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the autoencoder learns from, and 256 pictures that it does not."""
    pictures = np.concatenate([dataset.images(work / "world", n) for n in range(VAE_SHARDS)])
    return pictures[:-256], pictures[-256:]


def _together(codes: list[str]) -> None:
    """Run pieces of Python at once, one core each; stop all and raise if one fails."""
    running = [subprocess.Popen([sys.executable, "-c", code], env=manifest.one_thread()) for code in codes]
    try:
        for process in running:
            if process.wait():
                raise subprocess.CalledProcessError(process.returncode, process.args)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:  # a denoiser that is told to stop writes its checkpoint first
            process.wait()


def main() -> None:
    """Run the stages that are named, or all that are not done."""
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m toyworld.second.build", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES | EXTRA)}; none: all but the last two"
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder for everything between the stages")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--shards", type=int, default=defaults.shards, help=f"of {dataset.SHARD} pictures each")
    parser.add_argument("--vae-crops", type=int, default=defaults.vae_crops, help="of each phase of the autoencoder")
    parser.add_argument("--polish-crops", type=int, default=defaults.polish_crops)
    parser.add_argument("--until", type=int, default=defaults.until, help="samples of the denoiser's whole training")
    parser.add_argument("--cooldown", type=int, default=defaults.cooldown, help="its last samples, with falling rates")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="stop the denoiser earlier than that")
    parser.add_argument("--judge-steps", type=int, default=defaults.judge_steps, help="of each of the judge's models")
    parser.add_argument("--from-nothing", action="store_true", help="do not go on from the committed milestone")
    given = parser.parse_args()
    if unknown := [name for name in given.stages if name not in STAGES | EXTRA]:
        parser.error(f"unknown stages {unknown}; there are {', '.join(STAGES | EXTRA)}")
    if given.device != "cpu" and not (given.device.startswith("cuda") and torch.cuda.is_available()):
        parser.error(f"--device {given.device}: not a device of this machine; there is cpu")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options = Options(**{name: value for name, value in vars(given).items() if name != "stages"})
    options.work.mkdir(parents=True, exist_ok=True)
    for name in given.stages or STAGES:
        facts = options.work / "facts" / f"{name}.json"
        if facts.exists() and not given.stages:
            print(f"{name}: done before, {facts}")
            continue
        started = time.monotonic()
        result = {**(STAGES | EXTRA)[name](options), "wall_seconds": round(time.monotonic() - started, 1)}
        facts.parent.mkdir(exist_ok=True)
        facts.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
        print(f"{name}: {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()

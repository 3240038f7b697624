"""The training of the denoiser and its text encoder, on precomputed latents.

Captions are made anew from the views at every step, so that each picture is learnt from with many of them.

Training counts samples, not time. Each step draws from its own seed, so a training that was stopped and goes on from
its checkpoint takes the same steps as one that was never stopped.
"""

import json
import math
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from toyworld import denoiser as shared
from toyworld.contrast import tokenize
from toyworld.muon import optimisers
from toyworld.second import dataset
from toyworld.second.captions import describe
from toyworld.second.painter import Painter, Recipe, load_milestone
from toyworld.second.world import View
from toyworld.training import Average, log, optimiser_tensors, restore_optimisers, set_rates

HELD_BACK = 512  # pictures of the first shard, for the validation loss
LATENTS = "latents"
CHECKPOINT, EMA, HISTORY = "unet-checkpoint.safetensors", "unet-ema.safetensors", "unet-history.jsonl"


@dataclass(frozen=True, kw_only=True)
class Span:
    """How far to train."""

    until: int
    """Samples of the whole training."""
    cooldown: int = 0
    """The last so many samples before `until` let the rates fall to nothing; 0: they stay, and training can go on."""
    seconds: float = math.inf
    """Stop earlier when so much time has passed."""
    checkpoint_seconds: float = 240.0
    history: int = 12_800
    """Samples between two lines of history, each with a validation loss."""


def rate(seen: int, since: int, recipe: Recipe, span: Span) -> float:
    """Multiplier of the learning rate after `seen` samples, of which those before `since` had another optimiser."""
    warm = min(1.0, max((seen - since) / recipe.warmup, 0.02)) if recipe.warmup else 1.0
    return warm * (min(1.0, (span.until - seen) / span.cooldown) if span.cooldown else 1.0)


def load_latents(work: Path) -> tuple[Tensor, list[View]]:
    """All encoded shards: latents (pictures, channels, 16, 16) in float16, and what the pictures show."""
    numbers = sorted(int(path.stem) for path in (work / LATENTS).glob("*.safetensors"))
    if not numbers:
        raise FileNotFoundError(f"no latents in {work / LATENTS}: run the stage latents first")
    parts = [load_file(work / LATENTS / f"{n:03d}.safetensors")["latents"] for n in numbers]
    return torch.cat(parts), [view for n in numbers for view in dataset.views(work / "world", n)]


def seed_of(recipe: Recipe, rank: int, step: int) -> int:
    """The seed of one process's draws in one step."""
    return random.Random(f"{recipe.seed}/{rank}/{step}").randrange(2**31)


@dataclass
class State:
    """Where a training stands: what a checkpoint holds."""

    painter: Painter
    average: Average
    pair: list[torch.optim.Optimizer]
    step: int = 0
    samples: int = 0
    since: int = 0
    """Samples before this optimiser began: 0, or the milestone's."""
    spent: float = 0.0
    """Seconds."""


def begin(
    work: Path,
    recipe: Recipe,
    tokenizer: CLIPTokenizer,
    device: torch.device,
    milestone: tuple[Path, int] | None = None,
    *,
    rank: int = 0,
    world: int = 1,
) -> State:
    """Go on from the work folder's checkpoint; without one from a milestone's float16 weights; else from nothing."""
    torch.manual_seed(recipe.seed)
    painter = Painter(recipe, tokenizer)
    samples = 0
    saved = load_file(work / CHECKPOINT) if (work / CHECKPOINT).exists() else {}
    if saved:
        painter.load_state_dict({k.removeprefix("now."): v for k, v in saved.items() if k.startswith("now.")})
    elif milestone is not None:
        folder, samples = milestone
        load_milestone(painter, folder)
    painter.fast_on(device)
    pair = optimisers(painter, muon_lr=recipe.muon_lr, adam_lr=recipe.adam_lr, rank=rank, world=world)
    state = State(painter=painter, average=Average(painter, recipe.ema), pair=pair, samples=samples, since=samples)
    if saved:
        state.average.weights = {k.removeprefix("ema."): v.to(device) for k, v in saved.items() if k.startswith("ema.")}
        restore_optimisers(pair, saved)
        state.step, state.samples, state.since = (int(saved[name]) for name in ("step", "samples", "since"))
        state.average.updates, state.spent = int(saved["updates"]), float(saved["spent"])
    elif samples:
        # The milestone is an average already: a short memory would forget it in a hundred steps.
        state.step = state.average.updates = samples // recipe.batch
    return state


def train(
    work: Path,
    recipe: Recipe,
    span: Span,
    *,
    rank: int = 0,
    world: int = 1,
    port: int = 29517,
    device: str = "cpu",
    milestone: tuple[Path, int] | None = None,
) -> int:
    """Train as process `rank` of `world`; returns the samples of the whole training.

    Reads the tokenizer, the views and the latents in the work folder; resumes from its checkpoint, without one from the
    milestone (a base's folder and the samples that it has seen). Process 0 writes
    the checkpoint, the averaged weights and a line of history every few minutes, at the end, and when it is terminated.
    """
    place = torch.device(device)
    if place.type == "cpu":
        torch.set_num_threads(1)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
        dist.init_process_group("gloo", rank=rank, world_size=world)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    latents, views = load_latents(work)
    state = begin(work, recipe, tokenizer, place, milestone, rank=rank, world=world)
    parameters, own = list(state.painter.parameters()), recipe.batch // world
    started = written = time.monotonic()
    smooth, stop = math.nan, torch.zeros(1)
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_stop.append(number))
    if rank == 0:
        log(work / "unet.log", f"unet from step {state.step} samples {state.samples}, {len(latents)} pictures")
    while state.samples < span.until:
        # All processes must take the same decisions: the first one's clock and signals count.
        stop[0] = bool(asked_to_stop) or time.monotonic() - started > span.seconds
        if world > 1:
            dist.broadcast(stop, 0)
        if stop.item():
            break
        set_rates(state.pair, rate(state.samples, state.since, recipe, span))
        seed = seed_of(recipe, rank, state.step)
        dice, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        rows = torch.randint(min(HELD_BACK, len(latents) // 2), len(latents), (own,), generator=generator)
        words = ["" if dice.random() < recipe.caption_dropout else describe(views[int(r)], dice) for r in rows]
        loss = state.painter.loss(latents[rows].float().to(place), tokenize(tokenizer, words).to(place), generator)
        loss.backward()
        flat = torch.cat(
            [p.grad.flatten() if p.grad is not None else torch.zeros_like(p).flatten() for p in parameters]
        )
        if world > 1:
            dist.all_reduce(flat)
            flat.div_(world)
        flat.mul_((1.0 / (flat.norm() + 1e-6)).clamp(max=1.0))
        for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = gradient.view_as(parameter)
        for optimiser in state.pair:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        state.step += 1
        state.samples += recipe.batch
        if rank:
            continue
        state.average.update(state.painter)
        now = float(loss.detach())
        smooth = now if math.isnan(smooth) else 0.99 * smooth + 0.01 * now
        if state.step % 50 == 0:
            log(work / "unet.log", f"unet step {state.step} samples {state.samples} loss {smooth:.4f}")
        if time.monotonic() - written > span.checkpoint_seconds:
            _write(work, state, time.monotonic() - started)
            written = time.monotonic()
        if state.samples % span.history < recipe.batch:
            _note(work, recipe, state, time.monotonic() - started, smooth, (latents, views), tokenizer)
    if rank == 0:
        _write(work, state, time.monotonic() - started)
        if not asked_to_stop:
            _note(work, recipe, state, time.monotonic() - started, smooth, (latents, views), tokenizer)
    if world > 1:
        dist.destroy_process_group()
    return state.samples


@torch.no_grad()
def validation_loss(painter: Painter, latents: Tensor, views: list[View], tokenizer: CLIPTokenizer) -> float:
    """Velocity loss of the held-back pictures at evenly spread timesteps, with fixed noise and captions."""
    place, noise_schedule = next(painter.parameters()).device, shared.scheduler()
    dice, generator, total = random.Random(7), torch.Generator().manual_seed(7), 0.0
    count = min(HELD_BACK, len(latents) // 2)
    for start in range(0, count, 64):
        clean = latents[start : start + 64][: count - start].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = (torch.arange(len(clean)) * 1000) // len(clean)
        words = tokenize(tokenizer, [describe(view, dice) for view in views[start : start + len(clean)]])
        noisy, wanted = (
            noise_schedule.add_noise(clean, noise, timesteps),
            noise_schedule.get_velocity(clean, noise, timesteps),
        )
        with torch.autocast(place.type, dtype=torch.bfloat16):
            states = painter.text(words.to(place)).last_hidden_state
            guess = painter.unet(noisy.to(place), timesteps.to(place), states).sample.float().cpu()
        total += float((guess - wanted).square().mean()) * len(clean)
    return total / count


def _write(work: Path, state: State, seconds: float) -> None:
    """Checkpoint (all that is needed to go on) and averaged weights (to draw with), each replaced at once."""
    counts = {"step": state.step, "samples": state.samples, "since": state.since, "updates": state.average.updates}
    tensors = {f"now.{k}": v for k, v in state.painter.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in state.average.weights.items()} | optimiser_tensors(state.pair)
    tensors |= {k: torch.tensor(v) for k, v in counts.items()} | {"spent": torch.tensor(state.spent + seconds)}
    for name, content in ((CHECKPOINT, tensors), (EMA, state.average.weights)):
        partial = (work / name).with_suffix(".partial")
        save_file({k: v.contiguous().cpu() for k, v in content.items()}, partial, {"samples": str(state.samples)})
        partial.replace(work / name)
    log(work / "unet.log", f"unet kept: step {state.step} samples {state.samples}")


def _note(
    work: Path,
    recipe: Recipe,
    state: State,
    seconds: float,
    loss: float,
    data: tuple[Tensor, list[View]],
    tokenizer: CLIPTokenizer,
) -> None:
    """A line of history: loss of the last steps, and validation loss of the averaged weights."""
    average = Painter(recipe, tokenizer)
    average.load_state_dict(state.average.weights)
    quality = validation_loss(average.fast_on(next(state.painter.parameters()).device), *data, tokenizer)
    spent = round(state.spent + seconds)
    row = {"samples": state.samples, "seconds": spent, "loss": round(loss, 5), "validation": round(quality, 5)}
    with (work / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    log(work / "unet.log", f"unet history: {json.dumps(row)}")


def facts(work: Path, recipe: Recipe) -> dict[str, object]:
    """What the manifest says about the training whose history lies in the folder."""
    path = work / HISTORY
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    saved = load_file(work / CHECKPOINT)
    counts = {"samples": int(saved["samples"]), "training_seconds": round(float(saved["spent"]))}
    return {"recipe": asdict(recipe), **counts, "history": rows}

"""The denoiser: a small UNet2DConditionModel in Stable Diffusion's shape, trained on precomputed latents.

Several processes of one thread each train it together: every one draws its own batch, gradients are averaged by one
flat all-reduce. On few cores that is faster than one process of several threads.
"""

import math
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from toyworld.muon import optimisers
from toyworld.training import Average, WallClock, log, optimiser_tensors, rate_factor, restore_optimisers, set_rates


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of the denoiser's training."""

    channels: tuple[int, ...] = (48, 80, 128)
    heads: tuple[int, ...] = (1, 2, 4)
    batch: int = 64
    """Samples of a step, all processes together."""
    muon_lr: float = 2e-3
    adam_lr: float = 1e-3
    ema: float = 0.9985
    caption_dropout: float = 0.10
    seed: int = 0


def build(recipe: Recipe, latent_channels: int, text_width: int) -> UNet2DConditionModel:
    """An untrained UNet for 16x16 latents, cross-attention at 16x16 and 8x8."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=recipe.channels,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=recipe.heads,  # the number of heads: the name is diffusers' old mistake
        norm_num_groups=16,
        use_linear_projection=True,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


def scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule, with velocity as the target (Salimans and Ho 2022)."""
    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", clip_sample=False, steps_offset=1, timestep_spacing="leading",
    )  # fmt: skip


def draw_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Half uniform, half where shapes are decided (200 to 900)."""
    uniform = torch.randint(0, 1000, (count - count // 2,), generator=generator)
    middle = torch.randint(200, 900, (count // 2,), generator=generator)
    return torch.cat([uniform, middle])


def velocity_loss(
    unet: UNet2DConditionModel,
    noise_schedule: DDPMScheduler,
    latents: Tensor,
    states: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the predicted velocity on a batch of latents (batch, channels, 16, 16)."""
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    timesteps = draw_timesteps(len(latents), generator).to(latents.device)
    noisy = noise_schedule.add_noise(latents, noise, timesteps)
    with torch.autocast(latents.device.type, dtype=torch.bfloat16):
        predicted = unet(noisy, timesteps, states).sample
    return F.mse_loss(predicted.float(), noise_schedule.get_velocity(latents, noise, timesteps))


def train(folder: Path, recipe: Recipe, *, rank: int, world: int, until: float, port: int = 29517) -> None:
    """Train as process `rank` of `world` until the epoch second `until`; resumes from `unet-checkpoint.safetensors`.

    Reads `latents.safetensors` (latents, tokens' states by caption number, caption numbers) from the folder. Process 0
    writes the checkpoint and the averaged weights (`unet-ema.safetensors`) every few minutes and at the end.
    """
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", rank=rank, world_size=world)
    data = load_file(folder / "latents.safetensors")
    latents, states, which = data["latents"], data["states"], data["caption"]
    held_back = min(1024, len(latents) // 8)  # for the validation loss
    torch.manual_seed(recipe.seed)
    unet = build(recipe, latents.shape[1], states.shape[2])
    pair = optimisers(unet, muon_lr=recipe.muon_lr, adam_lr=recipe.adam_lr)
    unet.set_attn_processor(AttnProcessor())  # on a CPU the explicit backward pass is a third faster than the fused one
    average, noise_schedule = Average(unet, recipe.ema), scheduler()
    checkpoint, logfile = folder / "unet-checkpoint.safetensors", folder / "unet.log"
    step, spent = 0, 0.0
    if checkpoint.exists():
        saved = load_file(checkpoint)
        unet.load_state_dict({k.removeprefix("unet."): v for k, v in saved.items() if k.startswith("unet.")})
        average.weights = {k.removeprefix("ema."): v for k, v in saved.items() if k.startswith("ema.")}
        restore_optimisers(pair, saved)
        step, spent = int(saved["step"]), float(saved["spent"])
        average.updates = step
    clock = WallClock(spent + until - time.time(), spent)
    generator = torch.Generator().manual_seed(hash((recipe.seed, rank, step)) % 2**31)
    parameters, smooth, written = list(unet.parameters()), math.nan, time.monotonic()
    own = recipe.batch // world
    progress = torch.zeros(1)
    while True:
        # All processes must take the same decisions: the first one's clock counts.
        progress[0] = clock.share()
        dist.broadcast(progress, 0)
        if float(progress) >= 1:
            break
        set_rates(pair, rate_factor(float(progress), warmup=0.005))
        rows = torch.randint(held_back, len(latents), (own,), generator=generator)
        captions = which[rows]
        captions[torch.rand(own, generator=generator) < recipe.caption_dropout] = 0  # number 0 is the empty caption
        loss = velocity_loss(unet, noise_schedule, latents[rows], states[captions], generator)
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in parameters])
        dist.all_reduce(flat)
        flat.div_(world)
        flat.mul_((1.0 / (flat.norm() + 1e-6)).clamp(max=1.0))
        for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = gradient.view_as(parameter)
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        if rank == 0:
            average.update(unet)
            smooth = float(loss.detach()) if math.isnan(smooth) else 0.99 * smooth + 0.01 * float(loss.detach())
            if step % 200 == 0:
                pace = f"samples {step * recipe.batch} {float(progress):.1%} spent {clock.elapsed():.0f}"
                log(logfile, f"unet step {step} {pace} loss {smooth:.4f}")
            if time.monotonic() - written > 180:
                _write(folder, unet, average, pair, step, clock)
                written = time.monotonic()
    if rank == 0:
        _write(folder, unet, average, pair, step, clock)
        unet.load_state_dict(average.weights)
        quality = validation_loss(unet, latents[:held_back], states[which[:held_back]])
        log(logfile, f"unet done: step {step} samples {step * recipe.batch} validation {quality:.4f}")
    dist.destroy_process_group()


def facts(folder: Path, recipe: Recipe) -> dict[str, object]:
    """What the manifest says about the training that left its checkpoint and log in the folder."""
    saved = load_file(folder / "unet-checkpoint.safetensors")
    found = re.findall(r"validation ([0-9.]+)", (folder / "unet.log").read_text("utf-8"))
    return {
        "recipe": asdict(recipe),
        "steps": int(saved["step"]),
        "samples": int(saved["step"]) * recipe.batch,
        "training_seconds": round(float(saved["spent"])),
        "validation_loss": float(found[-1]) if found else None,
    }


@torch.no_grad()
def validation_loss(unet: UNet2DConditionModel, latents: Tensor, states: Tensor) -> float:
    """Velocity loss at evenly spread timesteps with fixed noise."""
    generator = torch.Generator().manual_seed(7)
    noise_schedule, total = scheduler(), 0.0
    for part in range(0, len(latents), 256):
        clean = latents[part : part + 256]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = (torch.arange(len(clean)) * 1000) // len(clean)
        predicted = unet(noise_schedule.add_noise(clean, noise, timesteps), timesteps, states[part : part + 256]).sample
        total += float(F.mse_loss(predicted, noise_schedule.get_velocity(clean, noise, timesteps))) * len(clean)
    return total / len(latents)


def _write(
    folder: Path,
    unet: UNet2DConditionModel,
    average: Average,
    pair: list[torch.optim.Optimizer],
    step: int,
    clock: WallClock,
) -> None:
    """Checkpoint (all that is needed to go on) and averaged weights (to draw with), each replaced at once."""
    tensors = {f"unet.{k}": v for k, v in unet.state_dict().items()} | {
        f"ema.{k}": v for k, v in average.weights.items()
    }
    tensors |= optimiser_tensors(pair) | {"step": torch.tensor(step), "spent": torch.tensor(clock.elapsed())}
    for name, content in (("unet-checkpoint", tensors), ("unet-ema", average.weights)):
        partial = folder / f"{name}.partial"
        save_file({k: v.contiguous() for k, v in content.items()}, partial)
        partial.replace(folder / f"{name}.safetensors")

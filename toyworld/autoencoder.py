"""The autoencoder: AutoencoderKL of factor 4 or 8, trained in two phases so that its latents are easy to denoise.

Phase one learns to reconstruct. Its latent channels come out strongly correlated and brittle, which makes blobs of
whatever a denoiser learns on them. So they are whitened (exactly, by folding a linear map into the 1x1 convolutions on
both sides), and phase two goes on with noise on the latents, and with pooled latents that must decode to pooled
pictures. After it the encoder is final and the denoiser can begin; phase three polishes the decoder alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from toyworld.muon import optimisers
from toyworld.training import Budget, log, rate_factor, set_rates

Phase = Literal["first", "noisy", "polish"]
PHASES: tuple[Phase, ...] = ("first", "noisy", "polish")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of both phases."""

    size: int = 64
    """Pixels of a picture's side."""
    crop: int = 32
    """Pixels of a crop's side: reconstruction is local, so crops train it at a quarter of the cost."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Of the blocks; every block but the last halves the picture."""
    latent_channels: int = 4
    batch: int = 32
    muon_lr: float = 2e-3
    adam_lr: float = 1e-3
    latent_noise: float = 0.1
    latent_weight: float = 2e-3
    seed: int = 0

    @property
    def factor(self) -> int:
        """Pixels of a latent's side."""
        return 2 ** (len(self.channels) - 1)


def build(recipe: Recipe) -> AutoencoderKL:
    """An untrained autoencoder for the recipe's pictures."""
    depth = len(recipe.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=recipe.channels,
        latent_channels=recipe.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=recipe.size,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def picture_loss(decoded: Tensor, target: Tensor) -> Tensor:
    """L1 + half the L1 of the gradients (sharp edges) + mean squared error."""
    gradients = sum((decoded.diff(dim=d) - target.diff(dim=d)).abs().mean() for d in (2, 3))
    return F.l1_loss(decoded, target) + 0.5 * gradients + F.mse_loss(decoded, target)


def to_tensor(images: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """uint8 (batch, height, width, 3) to float (batch, 3, height, width) in -1 to 1."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_phase(
    vae: AutoencoderKL, images: np.ndarray, recipe: Recipe, budget: Budget, *, phase: Phase, logfile: Path
) -> int:
    """Train one phase; returns the number of crops seen."""
    number = PHASES.index(phase)
    device = vae.device
    dice, generator = np.random.default_rng(recipe.seed + number), torch.Generator().manual_seed(recipe.seed + number)
    trained = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv]) if phase == "polish" else vae
    slower = 1.0 if phase == "first" else 0.7
    pair = optimisers(trained, muon_lr=recipe.muon_lr * slower, adam_lr=recipe.adam_lr * slower)
    seen, smooth = 0, 0.0
    for step, share in enumerate(budget.shares()):
        set_rates(pair, rate_factor(share))
        batch = to_tensor(_crops(images, dice, recipe), device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            with torch.set_grad_enabled(phase != "polish"):
                latents = vae.encode(batch).latent_dist.mean.float()  # (batch, channels, crop / factor, crop / factor)
            regular = latents.square().mean()
            if phase == "noisy" and step % 4 == 3:
                # Scale consistency: a denoiser works coarse to fine, so coarse latents must mean coarse pictures.
                latents, batch = F.avg_pool2d(latents, 2), F.avg_pool2d(batch, 2)
            if phase != "first":
                latents = latents + recipe.latent_noise * torch.randn(latents.shape, generator=generator).to(device)
            decoded = vae.decode(latents).sample.float()
        loss = picture_loss(decoded, batch)
        (loss + (1e-4 if phase == "first" else recipe.latent_weight) * regular).backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        smooth = float(loss.detach()) if step == 0 else 0.99 * smooth + 0.01 * float(loss.detach())
        if step % 500 == 0:
            quality = f"loss {smooth:.4f} psnr {psnr(vae, images[:128]):.2f}"
            log(logfile, f"vae {phase} step {step} {share:.0%} {quality}")
        seen += len(batch)
    return seen


def _crops(images: np.ndarray, dice: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """A batch of random crops (batch, crop, crop, 3) whose corners lie on the grid of latents."""
    side, count = recipe.crop, recipe.batch
    rows = dice.integers(len(images), size=count)
    places = (images.shape[1] - side) // recipe.factor + 1
    tops, lefts = dice.integers(places, size=(2, count)) * recipe.factor
    return np.stack([images[r, t : t + side, x : x + side] for r, t, x in zip(rows, tops, lefts, strict=True)])


@torch.no_grad()
def encode(vae: AutoencoderKL, images: np.ndarray, batch: int = 32) -> Tensor:
    """Latent means of uint8 pictures, float32 (pictures, channels, 16, 16) on the CPU."""
    parts = (to_tensor(images[i : i + batch], vae.device) for i in range(0, len(images), batch))
    with torch.autocast(vae.device.type, dtype=torch.bfloat16):
        return torch.cat([vae.encode(part).latent_dist.mean.float().cpu() for part in parts])


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: np.ndarray) -> float:
    """Reconstruction quality in dB (peak 255), mean over pictures."""
    wanted = to_tensor(images, vae.device)
    decoded = vae.decode(vae.encode(wanted).latent_dist.mean).sample.clamp(-1, 1)
    errors = ((decoded - wanted) * 127.5).square().mean(dim=(1, 2, 3))
    return float((10 * torch.log10(255**2 / errors)).mean())


@torch.no_grad()
def whiten(vae: AutoencoderKL, images: np.ndarray, noise: float) -> None:
    """Make the latent channels uncorrelated with variance 1, without changing what any picture decodes to.

    z' = W (z - m) with W = covariance^(-1/2) goes into `quant_conv`, its inverse into `post_quant_conv`. The
    log-variance becomes a constant: the noise that phase two trains with.
    """
    latents = encode(vae, images)
    channels = latents.shape[1]
    flat = latents.movedim(1, -1).reshape(-1, channels).double().to(vae.device)
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    into = (vectors * values.clamp_min(1e-8).rsqrt()) @ vectors.T
    back = (vectors * values.clamp_min(1e-8).sqrt()) @ vectors.T
    quant, post = vae.quant_conv, vae.post_quant_conv
    weight, bias = quant.weight[:channels, :, 0, 0].double(), quant.bias[:channels].double()
    quant.weight[:channels, :, 0, 0] = (into @ weight).float()
    quant.bias[:channels] = (into @ (bias - mean)).float()
    quant.weight[channels:] = 0
    quant.bias[channels:] = 2 * float(np.log(noise))
    weight = post.weight[:, :, 0, 0].double()
    post.bias += (weight @ mean).float()
    post.weight[:, :, 0, 0] = (weight @ back).float()


def statistics(latents: Tensor) -> dict[str, float]:
    """How well conditioned latents are: spread, correlation between channels and between neighbours."""
    channels = latents.shape[1]
    flat = latents.movedim(1, -1).reshape(-1, channels)
    between = (torch.corrcoef(flat.T) - torch.eye(channels)).abs().max()
    normal = (latents - flat.mean(0)[:, None, None]) / flat.std(0)[:, None, None]
    neighbours = (normal[..., 1:] * normal[..., :-1]).mean()
    return {
        "std": float(latents.std()),
        "channel_correlation": float(between),
        "neighbour_correlation": float(neighbours),
    }

"""Contrastive training of a small CLIPModel: pictures against captions, and pictures of one piece together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from toyworld.muon import optimisers
from toyworld.training import Budget, log, rate_factor, set_rates

WIDTH = 128


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a contrastive model learns from."""

    images: np.ndarray  # uint8 (pictures, side, side, 3)
    tokens: Tensor  # (pictures, length)
    identity: np.ndarray | None = None  # per picture the number of the thing shown; None: captions alone
    group: np.ndarray | None = None  # per picture the number of its category: look-alikes share a batch
    favoured: np.ndarray | None = None  # rows that come more often: the things that will be judged
    vae: AutoencoderKL | None = None  # redraws pictures for wrong answers


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids (captions, length), padded to the model's full length."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def build_clip(
    tokenizer: CLIPTokenizer, *, text_layers: int = 3, vision_layers: int = 3, patch: int = 8, size: int = 64
) -> CLIPModel:
    """An untrained CLIPModel for a world: pictures of `size` pixels, the world's tokenizer."""
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": text_layers,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "image_size": size,
        "patch_size": patch,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": vision_layers,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def pixels(images: np.ndarray) -> Tensor:
    """uint8 (batch, height, width, 3) to float (batch, 3, height, width) in -1 to 1: mean and deviation 0.5."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def caption_loss(
    model: CLIPModel, image: Tensor, text: Tensor, tokens: Tensor, spoiled: Tensor | None = None
) -> Tensor:
    """Symmetric cross-entropy of normalised embeddings (batch, width); equal captions in a batch count as right too.

    `spoiled` are embeddings of damaged copies: they join the pictures that a caption must not choose.
    """
    scale = model.logit_scale.exp().clamp(max=100)
    logits = image @ text.T * scale  # (pictures, captions)
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    by_caption = logits.T  # (captions, pictures)
    if spoiled is not None:
        by_caption = torch.cat([by_caption, text @ spoiled.T * scale], dim=1)
        return (F.cross_entropy(logits, target) + F.cross_entropy(by_caption, F.pad(target, (0, len(spoiled))))) / 2
    return (F.cross_entropy(logits, target) + F.cross_entropy(by_caption, target)) / 2


def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """Damaged copies (batch, 3, side, side): smeared shapes and lost detail, as a poor generator draws them."""
    count = len(images)
    strength = 0.01 + 0.09 * torch.rand(count, 1, 1, 1, generator=generator)
    coarse = torch.randn(count, 2, 6, 6, generator=generator) * strength
    bend = F.interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    straight = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), list(images.shape), align_corners=False)
    bent = F.grid_sample(images, straight + bend, padding_mode="border", align_corners=False)
    side = images.shape[-1]
    detail = int(torch.randint(24 * side // 64, 60 * side // 64, (1,), generator=generator))
    small = F.interpolate(bent, size=(detail, detail), mode="area")
    return F.interpolate(small, size=images.shape[-2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def redraw(images: Tensor, vae: AutoencoderKL, generator: torch.Generator) -> Tensor:
    """Copies of pictures (batch, 3, side, side) decoded from disturbed latents: what a good generator still misses."""
    latents = vae.encode(images).latent_dist.mean
    strength = 0.1 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = torch.randn(latents.shape, generator=generator) * latents.std() * strength
    return vae.decode(latents + noise).sample.clamp(-1, 1)


def identity_loss(image: Tensor, identity: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast (Khosla et al. 2020) of normalised embeddings: pictures of one thing attract each other."""
    logits = image @ image.T / temperature
    own = torch.eye(len(image), dtype=torch.bool)
    logits = logits.masked_fill(own, -1e4)
    same = (identity[:, None] == identity[None]) & ~own
    chance = logits.log_softmax(1).masked_fill(~same, 0).sum(1)
    counts = same.sum(1)
    return -(chance[counts > 0] / counts[counts > 0]).mean()


def train(
    model: CLIPModel, data: Pictures, budget: Budget, *, batch: int, seed: int, logfile: Path, weight: float = 1.0
) -> int:
    """Train; returns the number of pictures seen.

    With identities in the data the identity contrast is added with that weight. With an autoencoder a quarter of the
    pictures comes with a spoiled or redrawn copy: an evaluator must see more than what a picture is about.
    """
    dice = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    model.set_attn_implementation("eager")  # on a CPU its backward pass is twice as fast as the fused one
    pair = optimisers(model, muon_lr=1e-3, adam_lr=1e-3, weight_decay=0.01)
    count, mean = 0, np.zeros(2)
    for step, share in enumerate(budget.shares(), start=1):
        set_rates(pair, rate_factor(share, warmup=0.03))
        rows = dice.integers(len(data.images), size=batch) if data.group is None else _look_alikes(dice, data, batch)
        tokens, shown = data.tokens[rows], pixels(data.images[rows])
        if data.vae is not None:
            shown = torch.cat([shown, spoil(shown[::8], generator), redraw(shown[4::8], data.vae, generator)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pictures = F.normalize(model.get_image_features(shown).pooler_output.float(), dim=-1)
            text = F.normalize(model.get_text_features(tokens).pooler_output.float(), dim=-1)
        image, spoiled = pictures[:batch], pictures[batch:]
        words = caption_loss(model, image, text, tokens, spoiled if len(spoiled) else None)
        things = torch.zeros(())
        if data.identity is not None:
            things = identity_loss(image, torch.from_numpy(data.identity[rows]))
        (words + weight * things).backward()
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        count += batch
        now = np.array([float(words.detach()), float(things.detach())])
        mean = now if step == 1 else 0.98 * mean + 0.02 * now
        if step % 50 == 0:
            log(logfile, f"clip step {step} {share:.0%} captions {mean[0]:.3f} identity {mean[1]:.3f}")
    return count


def _look_alikes(dice: np.random.Generator, data: Pictures, batch: int) -> np.ndarray:
    """Rows of a batch: half from two categories only, so that their pieces must be told apart; a quarter favoured."""
    assert data.group is not None and data.favoured is not None
    quarter = batch // 4
    chosen = dice.choice(data.group.max() + 1, size=2, replace=False)
    close = [dice.choice(np.flatnonzero(data.group == c), size=quarter, replace=False) for c in chosen]
    return np.concatenate([*close, dice.choice(data.favoured, quarter), dice.integers(len(data.images), size=quarter)])

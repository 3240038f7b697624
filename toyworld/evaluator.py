"""The evaluator of the embedded world: a CLIPModel for CLIP-I and CLIP-T, and a ViTModel in the place of DINO.

Both are trained apart from the base, on other pictures, with the held-out art among them: a judge must know the things
that it judges, while the base must not. `checks` measures whether they deserve to be believed.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel

from toyworld import dataset
from toyworld.art import piece
from toyworld.contrast import WIDTH, Pictures, build_clip, identity_loss, pixels, tokenize, train
from toyworld.domain import write_domain
from toyworld.manifest import EVALUATOR, make_portable
from toyworld.muon import optimisers
from toyworld.samples import concept_hues
from toyworld.training import Budget, WallClock, log, rate_factor, set_rates

CLIP_SEED, VIT_SEED = 11, 12
PATCHES = 8  # across a picture, whatever its size
SHARDS = 4  # of pictures with the held-out art among them


def load_pictures(work: Path, shards: int) -> Pictures:
    """The evaluator's pictures. An identity is a piece in a hue, whatever its scene, style or asked-for colour."""
    images, rows = dataset.load(work / "judged", shards)
    # A hue that is recoloured away cannot be seen: such a picture counts for the piece as it usually is.
    usual = concept_hues()
    things = [f"{row['piece']}/{usual.get(row['piece'], 0) if row['colour'] else row['hue']}" for row in rows]
    kinds = [piece(row["piece"]).category for row in rows]
    return Pictures(
        images=images,
        tokens=tokenize(CLIPTokenizer.from_pretrained(work / "tokenizer"), [row["caption"] for row in rows]),
        identity=np.unique(things, return_inverse=True)[1],
        group=np.unique(kinds, return_inverse=True)[1],
        favoured=np.flatnonzero([piece(row["piece"]).held_out for row in rows]),
        vae=AutoencoderKL.from_pretrained(work / "vae").requires_grad_(False),
    )


def train_clip(data: Pictures, tokenizer: CLIPTokenizer, budget: Budget, logfile: Path) -> tuple[CLIPModel, int]:
    """A trained CLIPModel, and the number of pictures seen."""
    torch.manual_seed(CLIP_SEED)
    size = data.images.shape[1]
    model = build_clip(tokenizer, text_layers=2, vision_layers=4, patch=size // PATCHES, size=size)
    return model, train(model, data, budget, batch=128, seed=CLIP_SEED, logfile=logfile, weight=0.3)


def train_vit(data: Pictures, budget: Budget, logfile: Path) -> tuple[ViTModel, int]:
    """A ViTModel whose first token tells pieces apart across scenes, styles and colours."""
    torch.manual_seed(VIT_SEED)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
    size = data.images.shape[1]
    config = ViTConfig(image_size=size, patch_size=size // PATCHES, **sizes)
    model = ViTModel(config, add_pooling_layer=False)
    model.set_attn_implementation("eager")
    pair = optimisers(model, muon_lr=1e-3, adam_lr=1e-3, weight_decay=0.01)
    dice, count, mean = np.random.default_rng(VIT_SEED), 0, 0.0
    assert data.identity is not None and data.group is not None
    of_group = [np.flatnonzero(data.group == g) for g in range(data.group.max() + 1)]
    for step, share in enumerate(budget.shares(), start=1):
        set_rates(pair, rate_factor(share, warmup=0.03))
        rows = np.concatenate(
            [dice.choice(of_group[g], 16, replace=False) for g in dice.choice(len(of_group), 8, replace=False)]
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = model(pixels(data.images[rows])).last_hidden_state[:, 0].float()
        loss = identity_loss(F.normalize(states, dim=-1), torch.from_numpy(data.identity[rows]))
        loss.backward()
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        count += len(rows)
        mean = float(loss.detach()) if step == 1 else 0.98 * mean + 0.02 * float(loss.detach())
        if step % 50 == 0:
            log(logfile, f"vit step {step} {share:.0%} identity {mean:.3f}")
    return model, count


def clip_stage(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Train and save the CLIPModel."""
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    data = load_pictures(work, SHARDS)
    model, seen = train_clip(data, tokenizer, WallClock(minutes["clip"] * 60), work / "clip.log")
    save(EVALUATOR / "clip", model, tokenizer)
    return {"seed": CLIP_SEED, "samples": seen, "parameters": model.num_parameters()}


def vit_stage(work: Path, minutes: dict[str, float]) -> dict[str, object]:
    """Train and save the ViTModel."""
    data = load_pictures(work, SHARDS)
    model, seen = train_vit(data, WallClock(minutes["vit"] * 60), work / "vit.log")
    save(EVALUATOR / "vit", model, None)
    return {"seed": VIT_SEED, "samples": seen, "parameters": model.num_parameters()}


def image_processor(size: int) -> CLIPImageProcessorPil:
    """Resize to so many pixels, scale to -1..1: the preprocessing of both models."""
    sides = {"height": size, "width": size}
    return CLIPImageProcessorPil(
        size=sides, do_center_crop=False, resample=1, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def save(folder: Path, model: CLIPModel | ViTModel, tokenizer: CLIPTokenizer | None) -> None:
    """Write a model in float16 with its preprocessing, loadable by `from_pretrained` of its class."""
    model.half().save_pretrained(folder)
    make_portable(folder)
    write_domain(folder)
    image_processor(picture_size(model)).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def picture_size(model: CLIPModel | ViTModel) -> int:
    """Pixels of a side of the pictures that a judge takes."""
    config = getattr(model.config, "vision_config", model.config)
    return int(config.image_size)


class Judge:
    """The saved evaluator, for tests and reports: embeddings of pictures and prompts, all normalised."""

    def __init__(self, folder: Path) -> None:
        self.clip = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
        self.vit = ViTModel.from_pretrained(folder / "vit", dtype=torch.float32, add_pooling_layer=False).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "clip")

    @torch.no_grad()
    def pictures(self, images: list) -> Tensor:
        """CLIP embeddings (pictures, width) of PIL pictures."""
        return F.normalize(self.clip.get_image_features(pixels(self._stack(images))).pooler_output, dim=-1)

    @torch.no_grad()
    def prompts(self, prompts: list[str]) -> Tensor:
        """CLIP embeddings (prompts, width)."""
        return F.normalize(self.clip.get_text_features(tokenize(self.tokenizer, prompts)).pooler_output, dim=-1)

    @torch.no_grad()
    def identities(self, images: list) -> Tensor:
        """ViT embeddings (pictures, width) of PIL pictures."""
        return F.normalize(self.vit(pixels(self._stack(images))).last_hidden_state[:, 0], dim=-1)

    def _stack(self, images: list) -> np.ndarray:
        sides = (picture_size(self.clip),) * 2
        return np.stack([np.asarray(image.convert("RGB").resize(sides, 1)) for image in images])

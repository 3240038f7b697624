"""Where a concept's words look: attention to [V], of its super-category and of another word over one picture."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from model.bases.base import Base
from model.bases.tokens import tokenize, word_places
from model.diffusion.attention import recorded_columns
from model.diffusion.latents import decode
from model.diffusion.text_encoding import encode_nothing, encode_text
from model.drawing.sample import denoise, initial_noise
from model.drawing.sampling_options import Sampling
from model.drawing.word_adjustment import drawn_embeddings
from model.runtime.memory import enough_memory
from model.runtime.numerics import autocast_to
from model.weights.concept import ConceptWeights


@dataclass(frozen=True, kw_only=True)
class AttentionMaps:
    """One generated picture and where words of its prompt looked."""

    image: Image.Image
    placeholder: np.ndarray
    """Attention of [V], (height, width) of the latents, stretched to 0..1."""
    super_category: np.ndarray | None
    """Attention of the super-category, mean over its tokens; same shape and range. None if the prompt lacks it."""
    word: np.ndarray | None
    """Attention of the other word, likewise. None if none was asked for."""


@torch.no_grad()
def attention_maps(
    base: Base,
    weights: ConceptWeights,
    sampling: Sampling,
    *,
    text: str | None = None,
    word: str | None = None,
    image_index: int = 0,
    autocast: str = "none",
) -> AttentionMaps:
    """Draw one picture and average the attention of some words over layers, heads and sampling steps.

    `text` is a filled-in prompt, by default the instance prompt, and `word` a word of it beside [V] and super-category.
    The picture is the one that `model.drawing.sample.generate` draws for the same prompt, seed and index. Raises
    InputError for a prompt that is too long or lacks the word, and WorkFailed if the device's memory does not suffice.
    """
    prompt = tokenize(base.tokenizers, text or weights.prompt.text, weights.prompt)
    places = word_places(base.tokenizers, prompt, word) if word else ()
    with enough_memory("drawing attention maps", base.device, "the batch size here", 1), weights.applied(base):
        with autocast_to(autocast, base.device):
            wanted, no_text = (
                encode_text(base, [prompt], drawn_embeddings(base, weights, sampling)),
                encode_nothing(base),
            )
        noise = initial_noise(base, sampling.seed, image_index)
        with recorded_columns(base, prompt, places) as columns:
            latents = denoise(base, noise, wanted, no_text, sampling, autocast)
        maps = [_layer_map(layer, latents.shape[-1]) for layer in columns.take()]
        average = torch.stack(maps).mean(dim=0).cpu().numpy()  # (words, height, width)
        found = iter([_stretch(column) for column in average])
        return AttentionMaps(
            image=decode(base, latents)[0],
            placeholder=next(found),
            super_category=next(found) if prompt.super_category else None,
            word=next(found) if word else None,
        )


def overlay(image: Image.Image, attention: np.ndarray) -> Image.Image:
    """The picture in grey under a heat map, (height, width) in 0..1: dark blue where little is, yellow where most."""
    heat = Image.fromarray((attention * 255).round().astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    colours = ImageOps.colorize(heat, black="#0b1250", mid="#d03a6a", white="#ffe98a")
    return Image.blend(image.convert("L").convert("RGB"), colours, 0.6)


def _layer_map(columns: torch.Tensor, side: int) -> torch.Tensor:
    """Columns (batch, heads, pixels, words) of one layer as maps (words, side, side), those of the prompt."""
    layer_side = math.isqrt(columns.shape[2])
    maps = columns[-1].mean(dim=0).T.reshape(1, -1, layer_side, layer_side)
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)[0]


def _stretch(attention: np.ndarray) -> np.ndarray:
    """Lowest value to 0 and highest to 1; a map without any difference is all 0."""
    lowest, highest = attention.min(), attention.max()
    return (attention - lowest) / max(highest - lowest, np.finfo(attention.dtype).tiny)

"""A bank of encoded views: the VAE runs before the training, not in each of its steps."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from PIL import Image

from model.bases.base import Base
from model.diffusion.augment import View, augmented_view
from model.methods.method import Stage

_MOST_ENCODED = 8  # at a time, and never more than a step trains on: that many fit the memory
_DECODE_PIXELS = 2**20  # decoded at a time: four pictures of 512 px, 256 of 64 px


@dataclass(frozen=True)
class LatentBank:
    """Encoded views of the instance images, kept as the VAE's distributions."""

    mean: torch.Tensor
    """(views, channels, height, width), in the VAE's own scale."""
    std: torch.Tensor
    """Same shape; nothing but zeros where the family learns from the mode."""
    time_ids: torch.Tensor
    """(views, 6): the sizes of each view, see `augment.View`."""
    normalised: Callable[[torch.Tensor], torch.Tensor]
    """Brings latents of the VAE to the denoiser's scale."""

    def sample(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Random latents (count, channels, height, width) in the denoiser's scale, and their time ids (count, 6).

        `generator` lives on the CPU.
        """
        views = torch.randint(len(self.mean), (count,), generator=generator)
        noise = torch.randn((count, *self.mean.shape[1:]), generator=generator)
        mean, std, time_ids = (part[views.to(part.device)] for part in (self.mean, self.std, self.time_ids))
        return self.normalised(mean + std * noise.to(mean.device)), time_ids


@torch.no_grad()
def encode_views(base: Base, images: Sequence[Image.Image], stage: Stage, seed: int) -> LatentBank:
    """Encode `stage.view_count` random views of the images, an equal share of each; always in float32."""
    means, stds, time_ids = [], [], []
    for batch in _view_batches(images, stage, base.resolution, random.Random(seed)):
        pixels = to_pixels([view.image for view in batch]).to(base.device)  # (views, 3, resolution, resolution)
        distribution = base.vae.encode(pixels).latent_dist
        means.append(distribution.mean)
        stds.append(distribution.std if base.family.samples_posterior else torch.zeros_like(distribution.mean))
        time_ids += [view.time_ids for view in batch]
    return LatentBank(
        mean=torch.cat(means),
        std=torch.cat(stds),
        time_ids=torch.tensor(time_ids, dtype=torch.float32, device=base.device),
        normalised=partial(base.family.normalised, base.vae),
    )


def encode_as_they_are(base: Base, images: Sequence[Image.Image], stage: Stage) -> LatentBank:
    """Encode each image once, neither turned nor cropped nor mirrored: the base's own pictures are no photographs."""
    once = replace(
        stage, augmented_views=len(images), rotation_probability=0.0, flip_probability=0.0, smallest_crop=1.0
    )
    return encode_views(base, images, once, seed=0)


@torch.no_grad()
def decode(base: Base, latents: torch.Tensor) -> list[Image.Image]:
    """Pictures from latents (images, channels, height, width) in the denoiser's scale, in parts that fit memory.

    Always in float32: in half precision the VAE of Stable Diffusion shows bands and that of XL overflows (what its
    `force_upcast` says), and it is a small part of the work.
    """
    at_once = max(1, _DECODE_PIXELS // base.resolution**2)
    scaled = base.family.denormalised(base.vae, latents.float())
    return [image for part in scaled.split(at_once) for image in to_images(base.vae.decode(part).sample)]


def to_pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """RGB pictures of one size as (images, 3, height, width) in -1..1, what a VAE encodes."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels: torch.Tensor) -> list[Image.Image]:
    """Pictures from (images, 3, height, width) in -1..1, what a VAE decodes; values outside are cut off."""
    values = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(array) for array in values.permute(0, 2, 3, 1).cpu().numpy()]


def _view_batches(
    images: Sequence[Image.Image], stage: Stage, resolution: int, rng: random.Random
) -> Iterator[list[View]]:
    """The views, up to 8 at a time."""
    at_once = min(_MOST_ENCODED, stage.batch_size)
    # Each view shows the next image in turn, so every image has the same weight.
    views = (augmented_view(images[n % len(images)], stage, resolution, rng) for n in range(stage.view_count))
    while batch := list(islice(views, at_once)):
        yield batch

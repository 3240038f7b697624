"""Pictures from prompts by the family's solver with classifier-free guidance, many pictures side by side."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from PIL import Image

from model.bases.base import Base
from model.bases.tokens import tokenize
from model.diffusion.latents import decode
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_nothing, encode_text
from model.drawing.picture_size import PictureSize
from model.drawing.sampling_options import Sampling
from model.drawing.word_adjustment import drawn_embeddings
from model.errors import InputError
from model.families.prompt_embeds import PromptEmbeds
from model.families.tokenized import TokenizedPrompt
from model.runtime.memory import enough_memory
from model.runtime.numerics import autocast_to
from model.weights.concept import ConceptWeights

_TEXT_BATCH = 64


def _go_on() -> None:
    """What is done before a step where nobody may want to stop."""


@torch.no_grad()
def generate(
    base: Base,
    weights: ConceptWeights | None,
    prompts: Sequence[str],
    images_per_prompt: int,
    sampling: Sampling,
    *,
    negative_prompt: str | None = None,
    size: PictureSize | None = None,
    autocast: str = "none",
    on_image: Callable[[int, int, Image.Image], None] | None = None,
    drawn: Callable[[int, int], Image.Image | None] = lambda prompt, image: None,
    before_step: Callable[[], None] = _go_on,
    batch_setting: str = "sampling.batch_size",
) -> list[list[Image.Image]]:
    """Pictures of a concept, or of the untrained base (`weights` None): for each prompt `images_per_prompt` of them.

    Prompts are filled in already ("a <turtle> turtle in the snow"). Picture i of every prompt starts from the same
    noise, decided by `sampling.seed` and i alone: pictures of one seed can be compared across prompts, methods and
    batch sizes. `on_image(prompt index, image index, picture)` is told of each picture as it is finished;
    `drawn(prompt index, image index)` gives a picture that an earlier call with the same arguments has finished.
    `negative_prompt`, without [V], takes the place of the empty prompt that guidance leads away from; `size` is the
    base's own unless given. `before_step()` is called before each step of each batch: what it raises stops the work.
    `batch_setting` is what the caller calls the batch size.

    Raises InputError, with all problems, for options out of range, a size that the base does not draw and prompts that
    are too long, and WorkFailed, which names `batch_setting`, if the device's memory does not suffice.
    """
    tokenized, away_from = _tokenize_all(base, weights, prompts, negative_prompt, sampling, size)
    pictures: list[list[Image.Image]] = [[] for _ in prompts]
    jobs = [(prompt, image) for prompt in range(len(prompts)) for image in range(images_per_prompt)]
    with (
        enough_memory("drawing", base.device, batch_setting, sampling.batch_size),
        weights.applied(base) if weights else nullcontext(),
    ):
        with autocast_to(autocast, base.device):
            text = _encode_all(base, weights, tokenized, sampling)
            no_text = encode_text(base, [away_from]) if away_from else encode_nothing(base)
        for start in range(0, len(jobs), sampling.batch_size):
            batch = jobs[start : start + sampling.batch_size]
            # All or none: what is drawn side by side is rounded otherwise than what is drawn alone.
            finished = [picture for job in batch if (picture := drawn(*job)) is not None]
            if len(finished) < len(batch):
                noise = torch.cat([initial_noise(base, sampling.seed, image, size) for _, image in batch])
                rows = [prompt for prompt, _ in batch]
                wanted = text.each(lambda part, rows=rows: part[rows])  # type: ignore[misc]
                latents = denoise(base, noise, wanted, no_text, sampling, autocast, before_step)
                finished = decode(base, latents)
            for (prompt, image), picture in zip(batch, finished, strict=True):
                pictures[prompt].append(picture)
                if on_image:
                    on_image(prompt, image, picture)
    return pictures


def initial_noise(base: Base, seed: int, image: int, size: PictureSize | None = None) -> torch.Tensor:
    """The noise (1, channels, height, width) from which picture number `image` of a seed starts."""
    # Drawn on the CPU, and from a generator of its own: the same on every device and beside any other pictures.
    own_seed = int.from_bytes(hashlib.sha256(f"{seed}/{image}".encode()).digest()[:7], "big")
    channels, height, width = base.latent_shape
    if size:
        height, width = size.height // base.size_step, size.width // base.size_step
    return torch.randn((1, channels, height, width), generator=torch.Generator().manual_seed(own_seed)).to(base.device)


@torch.no_grad()
def denoise(
    base: Base,
    noise: torch.Tensor,
    text: PromptEmbeds,
    no_text: PromptEmbeds,
    sampling: Sampling,
    autocast: str = "none",
    before_step: Callable[[], None] = _go_on,
) -> torch.Tensor:
    """Latents (batch, channels, height, width) from noise of that shape, as the family draws.

    `text` is what to draw, one prompt for each picture, `no_text` the one prompt that guidance leads away from. With
    guidance both halves go through the denoiser as one batch, the empty prompt's first.
    """
    walk = base.family.walk(base.noise_scheduler, sampling.num_inference_steps, noise)
    guided = sampling.guidance_scale != 1
    read = PromptEmbeds.joined([no_text.expanded(len(noise)), text]) if guided else text
    height, width = (edge * base.size_step for edge in noise.shape[-2:])
    time_ids = base.time_ids_of(height, width).expand(len(read.states), -1)  # (batch, 6), with guidance twice as many
    latents = walk.start(noise)
    for timestep in walk.timesteps:
        before_step()
        model_input = walk.seen(torch.cat([latents, latents]) if guided else latents, timestep)
        with autocast_to(autocast, base.device):
            prediction = predict(base, model_input, timestep, read, time_ids).float()
        if guided:
            without, with_text = prediction.chunk(2)
            prediction = base.family.guided(without, with_text, sampling.guidance_scale)
        latents = walk.step(prediction, timestep, latents)
    return latents


def _tokenize_all(
    base: Base,
    weights: ConceptWeights | None,
    prompts: Sequence[str],
    negative_prompt: str | None,
    sampling: Sampling,
    size: PictureSize | None,
) -> tuple[list[TokenizedPrompt], TokenizedPrompt | None]:
    """The prompts, and the negative one if there is one."""
    problems = sampling.problems()
    problems += size.problems(base.resolution, base.size_step * base.family.patch) if size else []
    away_from = None
    tokenized = []
    for text in prompts:
        try:
            tokenized.append(tokenize(base.tokenizers, text, weights.prompt if weights else None))
        except InputError as error:
            problems += error.problems
    if negative_prompt:
        try:
            away_from = tokenize(base.tokenizers, negative_prompt)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return tokenized, away_from


def _encode_all(
    base: Base, weights: ConceptWeights | None, prompts: Sequence[TokenizedPrompt], sampling: Sampling
) -> PromptEmbeds:
    """Each prompt encoded once."""
    embeddings = drawn_embeddings(base, weights, sampling) if weights else ()
    parts = [prompts[start : start + _TEXT_BATCH] for start in range(0, len(prompts), _TEXT_BATCH)]
    return PromptEmbeds.joined([encode_text(base, part, embeddings) for part in parts])

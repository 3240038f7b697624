"""Pictures of a training on its way: the same prompts from the same noise after one step and another.

They change nothing of the training: they are drawn from generators of their own, without gradients, and whatever goes
wrong with them is told and ends them, not it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from PIL import Image

from model.bases.base import Base
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.latents import decode
from model.diffusion.text_encoding import encode_nothing, encode_text
from model.drawing.sample import denoise, initial_noise
from model.drawing.sampling_options import Sampling
from model.runtime.numerics import autocast_to


class TrainingPictures:
    """Draws into a folder, `<step>-<prompt>.png`; those that are there already are not drawn again."""

    def __init__(
        self,
        folder: Path,
        *,
        steps: frozenset[int],
        templates: Sequence[str],
        prompt: ConceptPrompt,
        sampling: Sampling,
        autocast: str = "none",
        warn: Callable[[str], None] = lambda said: None,
    ) -> None:
        """`templates` are prompts with one ``{}`` for the concept; all start from the noise of picture 0."""
        self._folder, self._steps, self._templates, self._prompt = folder, steps, templates, prompt
        self._sampling, self._autocast, self._warn = sampling, autocast, warn
        self._failed = False

    def due(self, step: int) -> bool:
        """Whether pictures are to be drawn after this step."""
        return step in self._steps and not self._failed and not all(path.exists() for path in self.at(step))

    def at(self, step: int) -> list[Path]:
        """Where the pictures of a step lie, one a prompt; they are there once they are drawn."""
        return [self._folder / f"{step:06}-{number:02}.png" for number in range(len(self._templates))]

    def draw(self, step: int, base: Base, embeddings: Sequence[torch.Tensor]) -> None:
        """Draw what the base, trained so far, makes of the prompts with [V] as (1, width) in each text encoder."""
        try:
            with _randomness_put_back(base.device):
                pictures = self._pictures(base, embeddings)
            self._folder.mkdir(parents=True, exist_ok=True)
            for path, picture in zip(self.at(step), pictures, strict=True):
                unfinished = path.with_suffix(".part")
                picture.save(unfinished, format="PNG")
                unfinished.replace(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training is worth more than its pictures
            self._failed = True
            self._warn(f"no more pictures are drawn on the way: {type(error).__name__}: {error}; the training goes on")

    @torch.no_grad()
    def _pictures(self, base: Base, embeddings: Sequence[torch.Tensor]) -> list[Image.Image]:
        prompts = [tokenize(base.tokenizers, self._prompt.fill(text), self._prompt) for text in self._templates]
        with autocast_to(self._autocast, base.device):
            text, no_text = encode_text(base, prompts, embeddings), encode_nothing(base)
        noise = initial_noise(base, self._sampling.seed, 0).expand(len(prompts), -1, -1, -1)
        latents = denoise(base, noise, text, no_text, self._sampling, self._autocast)
        return [picture for one in latents.split(1) for picture in decode(base, one)]


def _randomness_put_back(device: torch.device) -> AbstractContextManager[None]:
    """Inside, torch's own generators may be drawn from; the training finds them as they were."""
    if device.type == "mps":
        return nullcontext()
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

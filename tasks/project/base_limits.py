"""What the base model that params.yaml names asks of images, words and parameters, told from its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.bases.base_files import base_resolution, check_base_folder, model_source
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from tasks.project.params import Params, load_params
from tasks.project.settings import Settings

FEWEST_PIXELS = 256
"""Short side of the smallest image that is taken, of a base that draws at least as many pixels.

It is enlarged to what the base draws: twice for 512 pixels, four times for 1,024. How much of that blur is learnt has
not been measured; `add` names each image that is enlarged, and by how much.
"""


@dataclass(frozen=True, kw_only=True)
class BaseLimits:
    """What a base asks of a new concept."""

    min_pixels: int = FEWEST_PIXELS
    """Short side of the smallest image that is taken."""
    resolution: int | None = None
    """Side of the pictures that the base draws; None where its files are not here to tell."""
    check_words: Callable[[ConceptPrompt], None] = lambda prompt: None
    """Raises InputError for a placeholder or super-category that the base cannot read."""


def base_limits(settings: Settings) -> BaseLimits:
    """The limits of the base that params.yaml names. Raises InputError where params.yaml or the base cannot be read."""
    folder = base_folder(settings, load_params(settings.params_file))

    def check_words(prompt: ConceptPrompt) -> None:
        if folder is None:  # on the hub: its tokenizers are asked when the training starts
            return
        from model.bases.tokens import base_tokenizers, check_concept

        check_concept(base_tokenizers(folder, str(folder)), prompt)

    resolution = None if folder is None else base_resolution(folder)
    return BaseLimits(min_pixels=fewest_pixels(folder), resolution=resolution, check_words=check_words)


def base_folder(settings: Settings, params: Params) -> Path | None:
    """The base's folder, which holds a base; None for one on the hub, whose files come when it is loaded.

    Raises:
        InputError: no such folder, another kind of model, a hub id without a commit.
    """
    folder = settings.root / params.base
    source = model_source(str(folder) if folder.is_dir() else params.base, params.base_revision)
    if source.folder is not None:
        check_base_folder(source.folder)
    return source.folder


def fewest_pixels(folder: Path | None) -> int:
    """Short side of the smallest image that may be learnt from: what the base in `folder` draws, if that is less."""
    return FEWEST_PIXELS if folder is None else min(FEWEST_PIXELS, base_resolution(folder))


def check_short_side(settings: Settings, params: Params, resolution: int) -> None:
    """Raise InputError if images would be shrunk below the side of the base's pictures, in pixels."""
    if params.prepare.max_short_side < resolution:
        raise InputError(
            f"{settings.params_file.name}: prepare.max_short_side = {params.prepare.max_short_side}: "
            f"base model '{params.base}' learns from {resolution} pixels, so at least as many are needed"
        )

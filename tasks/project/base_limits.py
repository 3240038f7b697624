"""What the base model that params.yaml names asks of images and of parameters, told from its files."""

from pathlib import Path

from model.bases.base_files import base_resolution, check_base_folder, model_source
from model.errors import InputError
from tasks.project.params import Params
from tasks.project.settings import Settings

FEWEST_PIXELS = 256
"""Short side of the smallest image that a base of 512 pixels learns from without learning the blur."""


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

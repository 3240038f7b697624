"""Images of which a base with a small world of its own makes nothing that is like them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from model.bases.domain import Domain, base_domain
from model.reading.pictures import open_picture
from tasks.project.base_limits import base_folder
from tasks.project.params import Params, load_params
from tasks.project.settings import Settings

PHOTOGRAPH_BASE = "sd21"
"""Base for photographs that messages name."""


def foreign_images(settings: Settings, images: Iterable[Path], command: str) -> str | None:
    """One sentence where some of these images are none of the base's world, with the way out; None else.

    `command` is how this program is called. Files that are no pictures are left to the checks of images.

    Raises:
        InputError: params.yaml, the base or its domain cannot be read.
    """
    params = load_params(settings.params_file)
    domain = base_domain(base_folder(settings, params))
    if domain is None:
        return None
    checked = [_is_of(domain, image) for image in images]
    foreign = checked.count(False)
    if not foreign:
        return None
    whose = f"{foreign} of these {len(checked)} images are" if foreign > 1 else f"one of these {len(checked)} images is"
    return f"{whose} {_unknown(domain, params, command)}"


def foreign_concepts(
    settings: Settings, images: Mapping[str, Iterable[Path]], command: str
) -> tuple[list[str], str] | None:
    """The concepts, of these with their images, that `foreign_images` would speak of; and the end of a sentence.

    Raises as `foreign_images`.
    """
    params = load_params(settings.params_file)
    domain = base_domain(base_folder(settings, params))
    if domain is None:
        return None
    names = [name for name, files in images.items() if any(_is_of(domain, file) is False for file in files)]
    return (names, f"have images that are {_unknown(domain, params, command)}") if names else None


def _unknown(domain: Domain, params: Params, command: str) -> str:
    return (
        f"none of {domain.name}, which is all that base model {params.base} knows, so that of photographs it "
        f"draws shapeless blobs; a project for photographs: `{command} init ../photographs --base {PHOTOGRAPH_BASE}`"
    )


def _is_of(domain: Domain, image: Path) -> bool | None:
    try:
        with open_picture(image) as picture:  # its header alone
            return picture.size == (domain.picture_side, domain.picture_side)
    except (OSError, Image.DecompressionBombError):
        return None

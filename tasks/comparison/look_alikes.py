"""Pictures of other things of a concept's kind: what a model that draws "some teapot" is taken in by."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from model.errors import InputError
from tasks.concepts.concepts import Concept, concept_names, load_concept
from tasks.concepts.image_checks import find_images
from tasks.concepts.image_reading import normalise_image
from tasks.concepts.image_sets import image_set, local_images
from tasks.project.settings import Settings


def find_look_alikes(settings: Settings, concept: Concept, folder: Path | None) -> list[Image.Image]:
    """Images of the project's other concepts of this one's super-category, and those of a folder.

    The folder holds a folder of images for each concept, by its name, or images that are meant for all.

    Raises:
        InputError: the folder is not there, or an image in it cannot be read; all problems together.
    """
    paths = [path for other in _same_kind(settings, concept) for path in _images_of(settings, other)]
    if folder is not None:
        check_folder(folder)
        own = folder / concept.name
        found = find_images([own if own.is_dir() else folder])
        if found.problems:
            raise InputError(*found.problems)
        paths += found.files
    return _read(paths)


def check_folder(folder: Path | None) -> None:
    """InputError if a folder of look-alikes is named that is not there."""
    if folder is not None and not folder.is_dir():
        raise InputError(f"--look-alikes {folder}: there is no such folder")


def _same_kind(settings: Settings, concept: Concept) -> list[Concept]:
    found = []
    for name in concept_names(settings):
        try:
            other = load_concept(settings, name)
        except InputError:  # a broken neighbour is no matter of this comparison; `conceptbooth list` shows it
            continue
        if other.name != concept.name and other.super_category == concept.super_category:
            found.append(other)
    return found


def _images_of(settings: Settings, concept: Concept) -> list[Path]:
    try:
        return list(local_images(settings, concept, image_set(settings, concept)).values())
    except InputError:  # likewise: its images are not here
        return []


def _read(paths: Sequence[Path]) -> list[Image.Image]:
    pictures: list[Image.Image] = []
    problems: list[str] = []
    for path in paths:
        try:
            pictures.append(normalise_image(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return pictures

"""Which file each stored image was made from: images.yaml, beside the images that `conceptbooth add` stored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from model.errors import InputError
from tasks.concepts.concepts import Concept
from tasks.files.names import proper_name
from tasks.files.yaml_files import read_yaml, schema_problems, write_yaml

ORIGINS_FILE = "images.yaml"
Sha256 = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]


class ImageOrigin(BaseModel):
    """One stored image and the file that a person brought. The originals themselves are not kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, AfterValidator(proper_name)]
    """In the concept's image folder."""
    sha256: Sha256
    original: str
    """Name of the file that was brought, without its folder."""
    original_sha256: Sha256


class _Origins(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: list[ImageOrigin]


def image_origins(concept: Concept) -> tuple[ImageOrigin, ...]:
    """Origins of a concept's images; empty for images that nobody brought, such as rendered samples.

    Raises:
        InputError: images.yaml cannot be read; all problems together.
    """
    file = concept.folder / ORIGINS_FILE
    if not file.exists():
        return ()
    label = f"{concept.name}/{ORIGINS_FILE}"
    try:
        return tuple(_Origins.model_validate(read_yaml(file, label)).images)
    except ValidationError as error:
        known = ("images", *ImageOrigin.model_fields)
        raise InputError(*schema_problems(error, label, known)) from error


def write_origins(folder: Path, origins: Sequence[ImageOrigin]) -> None:
    """Write images.yaml into a concept's folder."""
    comment = "What each image was made from: written by `conceptbooth add`."
    write_yaml(folder / ORIGINS_FILE, {"images": [origin.model_dump() for origin in origins]}, comment)

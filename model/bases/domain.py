"""What a base draws, where that is less than the whole world: a file beside its weights says so."""

from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError
from model.reading.documents import read_toml

DOMAIN_FILE = "domain.toml"
"""Not among the suffixes that a base's digest covers (`tasks.jobs.models.MODEL_SUFFIXES`): it changes no result."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The small world of a base. A base without one draws whatever people photograph."""

    name: str
    """As messages call it: "the toy world"."""
    picture_side: int
    """Side of its square pictures in pixels, by which they are told from photographs."""


def base_domain(folder: Path | None) -> Domain | None:
    """The domain that is recorded with the base in `folder`; None where there is none, as for a base on the hub.

    Raises:
        InputError: the file says something else.
    """
    file = folder / DOMAIN_FILE if folder else None
    if file is None or not file.is_file():
        return None
    content = read_toml(file, str(file))
    name, side = content.get("name"), content.get("picture_side")
    if set(content) != {"name", "picture_side"} or not (isinstance(name, str) and name) or type(side) is not int:
        raise InputError(f"{file}: exactly `name` (words) and `picture_side` (pixels) are needed")
    return Domain(name=name, picture_side=side)

"""What has to stand inside those fields of a manifest that are objects: as much of it as somebody reads by its name."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from tasks.store.shapes import check_fields, check_shape


class _Model(TypedDict):
    """A pretrained model."""

    reference: str
    revision: str | None
    digest: str
    files: NotRequired[Mapping[str, str]]
    licence: NotRequired[str | None]


class _Git(TypedDict):
    commit: str
    dirty: bool


class _MadeBy(TypedDict):
    code: Mapping[str, str]
    packages: Mapping[str, str]
    adoptions: NotRequired[Sequence[int]]


class _Image(TypedDict):
    """A prepared image, and the file that it was made from."""

    file: str
    made_from: str
    sha256: str
    md5: str | None
    size: NotRequired[int | None]
    fingerprint: str


class _Origin(TypedDict):
    """A stored image, and the file that a person brought."""

    sha256: str
    original: str
    original_sha256: str


class _Stated(TypedDict, total=False):
    licence: str
    source: str
    consent: str
    images: Sequence[_Origin]


class _Evaluated(TypedDict):
    prompts: Sequence[str]


class _Trained(TypedDict, total=False):
    stage: Mapping[str, Any]


_PARAMETERS: Mapping[str, Any] = {"evaluate": _Evaluated, "train": _Trained}
"""By kind of stage."""
_INSIDE: Mapping[str, Any] = {
    "base": _Model | None,
    "evaluator": _Model | None,
    "identity_model": _Model | None,
    "git": _Git | None,
    "made_by": _MadeBy | None,
    "stated": _Stated,
    "images": Sequence[_Image],
}


def check_manifest(read_by: type, values: Mapping[str, Any]) -> None:
    """ValueError where a field is of another type than `read_by` names, or lacks inside what is read of it."""
    check_fields(read_by, values)
    for name, wanted in _INSIDE.items():
        if name in values:
            check_shape(wanted, values[name], name)
    kind = values["stage"].partition("-")[0]
    if kind in _PARAMETERS:
        check_shape(_PARAMETERS[kind], values["parameters"], "parameters")
    files = values.get("files", {})
    for image in values.get("images", ()):
        if files and image["file"] not in files:
            raise ValueError(f"'images' names {image['file'][:80]!a}, which is none of its files")

"""The base model that a concept was trained on, found again by what its version recorded, and compared with that."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model.errors import InputError
from model.runtime.disk import file_sha256

BASE_VARIABLE = "CONCEPTBOOTH_BASE"


def find_recorded_base(
    recorded: Mapping[str, Any], folder: Path, kept: Callable[[], Path | None] = lambda: None
) -> tuple[str, str | None]:
    """Folder, or hub id and commit, of the recorded base, ready for `load_base`.

    `recorded` holds its `reference`, `revision` and `files` (sha256 by path). It is looked for in `folder`, unless the
    environment variable CONCEPTBOOTH_BASE names another; wherever it is found, its files must be those of the record,
    hashed now. Where `folder` holds something else by now, `kept` may give another folder with those files, as it has
    hashed them. A hub base is trusted by its commit.

    Raises:
        InputError: no base there, or another one.
    """
    reference, named = recorded["reference"], os.environ.get(BASE_VARIABLE)
    if not named and recorded["revision"] is not None:
        return reference, recorded["revision"]
    folder = Path(named).expanduser() if named else folder
    problem = _difference(recorded, folder)
    if problem is None:
        return str(folder), None
    if not named and (instead := kept()) is not None:
        return str(instead), None
    raise InputError(
        f"base model {folder}: {problem}; put it back, or set {BASE_VARIABLE} to a folder that holds base model "
        f"'{reference}' as it was"
        if recorded["files"] or not folder.is_dir()
        else f"base model {folder}: {problem}; unset {BASE_VARIABLE}"
    )


def assembled_base(files: Mapping[str, str], content: Callable[[str], Path | None], folder: Path) -> Path | None:
    """A base put together in an empty folder from contents that are called by their sha256; None if one is lacking.

    `content` finds the file of a sha256; each is hashed before it becomes a part. ValueError for a name that leads out
    of the folder.
    """
    for name, sha256 in files.items():
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or any(part in ("..", ".") for part in parts):
            raise ValueError(f"base model: {name!r} is no name of a file in it")
        found = content(sha256)
        if found is None or not found.is_file() or file_sha256(found) != sha256:
            return None
        place = folder.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(found.resolve())
    return folder if files else None


def _difference(recorded: Mapping[str, Any], folder: Path) -> str | None:
    """How a folder differs from what was recorded; None if it does not."""
    if not folder.is_dir():
        return "no such folder"
    files = recorded["files"]
    if not files:
        return "the training recorded no digests to compare it with"
    differing = [name for name, sha256 in files.items() if not _holds(folder / name, sha256)]
    if not differing:
        return None
    shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
    return f"not the one of this training, {len(differing)} of {len(files)} files differ or are missing ({shown})"


def _holds(file: Path, sha256: str) -> bool:
    return file.is_file() and file_sha256(file) == sha256

"""The base model that a concept was trained on, found again by what its version recorded, and compared with that."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.runtime.disk import file_sha256

BASE_VARIABLE = "CONCEPTBOOTH_BASE"


def find_recorded_base(
    recorded: Mapping[str, Any], folder: Path, sha256_of: Callable[[Path], str] = file_sha256
) -> tuple[str, str | None]:
    """Folder, or hub id and commit, of the recorded base, ready for `load_base`.

    `recorded` holds its `reference`, `revision` and `files` (sha256 by path). It is looked for in `folder`, unless the
    environment variable CONCEPTBOOTH_BASE names another; wherever it is found, its files must be those of the record.
    A hub base is trusted by its commit.

    Raises:
        InputError: no base there, or another one.
    """
    reference, named = recorded["reference"], os.environ.get(BASE_VARIABLE)
    if not named and recorded["revision"] is not None:
        return reference, recorded["revision"]
    folder = Path(named).expanduser() if named else folder
    way_out = f"put it back, or set {BASE_VARIABLE} to a folder that holds base model '{reference}' as it was"
    if not folder.is_dir():
        raise InputError(f"base model {folder}: no such folder; {way_out}")
    files = recorded["files"]
    if not files:
        raise InputError(
            f"base model {folder}: the training recorded no digests to compare it with; unset {BASE_VARIABLE}"
        )
    differing = [name for name, sha256 in files.items() if _sha256(folder / name, sha256_of) != sha256]
    if differing:
        shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
        raise InputError(
            f"base model {folder}: not the one of this training, {len(differing)} of {len(files)} files differ or are "
            f"missing ({shown}); {way_out}"
        )
    return str(folder), None


def _sha256(file: Path, sha256_of: Callable[[Path], str]) -> str | None:
    return sha256_of(file) if file.is_file() else None

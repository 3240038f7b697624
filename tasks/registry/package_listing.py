"""The files of a registered package: the list of their hashes among them, and what others leave beside them."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from tasks.files.hashing import file_digest

LISTING = "sha256.json"
MLFLOW_NOTE = "registered_model_meta"
"""Written by MLflow's client whenever it loads a registered model out of a folder."""
BYTECODE = "__pycache__"
LEFT_BY_LOADING = (MLFLOW_NOTE, BYTECODE)


def write_listing(package: Path) -> None:
    """List a finished package's files with their hashes."""
    (package / LISTING).write_text(listing_text(hashes_of(package)), encoding="utf-8")


def is_mlflow_note(content: bytes) -> bool:
    """Whether these bytes say a registered name and version, as MLflow's client writes them, and nothing else."""
    try:
        said = yaml.safe_load(content)
    except yaml.YAMLError:
        return False
    return isinstance(said, dict) and said.keys() == {"model_name", "model_version"}


def hashes_of(package: Path) -> dict[str, str]:
    """sha256 of every file of a package but its list, by path."""
    paths = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*")) if path.is_file()}
    return {name: file_digest(path) for name, path in paths.items() if name != LISTING}


def listing_text(hashes: Mapping[str, str]) -> str:
    """The list as it is written."""
    return json.dumps(hashes, indent=1, sort_keys=True) + "\n"

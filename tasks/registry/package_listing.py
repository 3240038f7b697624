"""The files of a registered package: the list of their hashes among them, and what others leave beside them.

A package is what its list says, all of it and nothing else: whoever loads its folder may run whatever lies there.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from tasks.files.hashing import file_digest
from tasks.files.names import proper_name, proper_sha256

LISTING = "sha256.json"
MLFLOW_NOTE = "registered_model_meta"
"""Written by MLflow's client whenever it loads a registered model out of a folder."""
BYTECODE = "__pycache__"
LEFT_BY_LOADING = (MLFLOW_NOTE, BYTECODE)
REMOVE_IT = "remove it"
_MISSING, _NO_FILE = "missing in its package", "is a link or a device, and no file of a package"
_CHANGED = f"its sha256 is not the one that {LISTING} names"
_BYTECODE = f"is no part of the package, and Python would run it in the place of its code: {REMOVE_IT}"
_STRANGER = "is no part of the package, and whoever loads the folder may load it"


class NoListing(Exception):
    """A package without a list of its files, or with one that is not as it was written; says which."""


def write_listing(package: Path) -> None:
    """List a finished package's files with their hashes."""
    (package / LISTING).write_text(listing_text(hashes_of(package)), encoding="utf-8")


def read_listing(package: Path) -> dict[str, str]:
    """sha256 of each file of a package by path, as its list says. Raises NoListing; OSError where it cannot be read."""
    file = package / LISTING
    if not file.is_file():
        raise NoListing(f"it has no list of them ({LISTING})")
    try:
        text = file.read_text(encoding="utf-8")
        wanted = {proper_name(name): proper_sha256(sha256) for name, sha256 in json.loads(text).items()}
        if text == listing_text(wanted):
            return wanted
    except (ValueError, AttributeError, RecursionError):
        pass
    raise NoListing("its bytes have changed: it is not the list that was written")


def package_problems(package: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the files of a package that has to hold these, by path: missing, changed, or not listed.

    All bytes are hashed. Raises OSError where one cannot be read.
    """
    there = _files(package)
    problems = {name: _MISSING for name in wanted if name not in there}
    for name in sorted(there):
        sha256 = _sha256(package / name)
        if sha256 is None:
            problems[name] = _NO_FILE
        elif name in wanted:
            problems |= {name: _CHANGED} if sha256 != wanted[name] else {}
        elif is_bytecode(name):
            problems[name] = _BYTECODE
        elif name != MLFLOW_NOTE or mlflow_note((package / name).read_bytes()) is None:
            problems[name] = _STRANGER
    return problems


def is_bytecode(name: str) -> bool:
    """Whether a path is one of those by which Python keeps what it has compiled."""
    return BYTECODE in name.split("/")


def mlflow_note(content: bytes) -> tuple[str, str] | None:
    """The registered name and version that these bytes say, as MLflow's client writes them and nothing else."""
    try:
        said = yaml.safe_load(content) if len(content) < 1000 else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.keys() != {"model_name", "model_version"}:
        return None
    return str(said["model_name"]), str(said["model_version"])


def hashes_of(package: Path) -> dict[str, str]:
    """sha256 of every file of a package but its list, by path."""
    hashes = {name: _sha256(package / name) for name in sorted(_files(package))}
    return {name: sha256 for name, sha256 in hashes.items() if sha256 is not None}


def listing_text(hashes: Mapping[str, str]) -> str:
    """The list as it is written."""
    return json.dumps(hashes, indent=1, sort_keys=True) + "\n"


def _files(package: Path) -> set[str]:
    """Everything in a package that is no folder, but its list; no link is followed."""
    found = set()
    for parent, folders, files in os.walk(package):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found |= {Path(parent, name).relative_to(package).as_posix() for name in (*files, *links)}
    return found - {LISTING}


def _sha256(path: Path) -> str | None:
    """None for what is no file."""
    return file_digest(path) if path.is_file() and not path.is_symlink() else None

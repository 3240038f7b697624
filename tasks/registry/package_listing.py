"""The files of a registered package: the list of their hashes among them, and what others leave beside them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from tasks.files.hashing import file_digest
from tasks.verification.results import Check, fault, good, unchecked

LISTING = "sha256.json"
MLFLOW_NOTE = "registered_model_meta"
"""Written by MLflow's client whenever it loads a registered model out of a folder."""
BYTECODE = "__pycache__"
LEFT_BY_LOADING = (MLFLOW_NOTE, BYTECODE)


def write_listing(package: Path) -> None:
    """List a finished package's files with their hashes."""
    (package / LISTING).write_text(_text(_hashes(package)), encoding="utf-8")


def check_package(what: str, package: Path) -> Iterator[Check]:
    """Each file of a package in a folder, hashed and compared with the list."""
    try:
        text = (package / LISTING).read_text(encoding="utf-8")
        there = _hashes(package)
        wanted = {str(name): str(sha256) for name, sha256 in json.loads(text).items()}
        if text != _text(wanted):
            raise ValueError("not as it was written")
    except FileNotFoundError:
        yield unchecked(f"{what}: other files of its package", f"it has no list of them ({LISTING})")
        return
    except OSError as error:
        yield unchecked(f"{what}: other files of its package", f"cannot be read: {error}")
        return
    except (ValueError, AttributeError):
        yield fault(f"{what}: {LISTING}", "its bytes have changed: it is not the list that was written")
        return
    for name, sha256 in wanted.items():
        if name not in there:
            yield fault(f"{what}: {name}", "missing in its package")
        elif there[name] != sha256:
            yield fault(f"{what}: {name}", f"its sha256 is not the one that {LISTING} names")
        else:
            yield good(f"{what}: {name}", f"its sha256 is the one that {LISTING} names")
    for name in sorted(there.keys() - wanted.keys()):
        if BYTECODE in name.split("/"):
            said = "was left there by a Python that loaded the folder; promotion leaves it out, and it may be removed"
            yield unchecked(f"{what}: {name}", said)
        elif name == MLFLOW_NOTE and is_mlflow_note((package / name).read_bytes()):
            yield good(f"{what}: {name}", "says the registered name and version, and nothing else")
        else:
            yield fault(f"{what}: {name}", "is no part of the package, and whoever loads the folder may load it")


def is_mlflow_note(content: bytes) -> bool:
    """Whether these bytes say a registered name and version, as MLflow's client writes them, and nothing else."""
    try:
        said = yaml.safe_load(content)
    except yaml.YAMLError:
        return False
    return isinstance(said, dict) and said.keys() == {"model_name", "model_version"}


def _hashes(package: Path) -> dict[str, str]:
    paths = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*")) if path.is_file()}
    return {name: file_digest(path) for name, path in paths.items() if name != LISTING}


def _text(hashes: Mapping[str, str]) -> str:
    return json.dumps(hashes, indent=1, sort_keys=True) + "\n"

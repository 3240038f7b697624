"""The two files beside params.yaml that settings come from, `.env` and `conceptbooth.toml`, read within bounds."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.variables import parse_variables

from model.errors import InputError
from model.reading.documents import read_toml
from model.reading.files import read_text

SETTINGS_FILE = "conceptbooth.toml"
DOTENV_FILE = ".env"
_MOST_DOTENV_BYTES = 2**20
CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "HF_TOKEN",
)
"""What the libraries read from the environment, and people write beside the addresses in `.env`."""
LIBRARIES = ("MLFLOW_", "PREFECT_", "HF_")
"""How the libraries' variables begin."""


def read_dotenv(root: Path) -> dict[str, str | None]:
    """The variables in a project's `.env`; none where there is no such file. InputError where it cannot be read."""
    file = root / DOTENV_FILE
    if not file.exists():
        return {}
    text = read_text(file, str(file), _MOST_DOTENV_BYTES)
    return _resolved(dotenv_values(stream=io.StringIO(text), interpolate=False), str(file))


def _resolved(values: Mapping[str, str | None], label: str) -> dict[str, str | None]:
    """${NAME} replaced as python-dotenv does, but no more text than a file may hold: each line can double the last."""
    resolved: dict[str, str | None] = {}
    left = _MOST_DOTENV_BYTES
    for name, value in values.items():
        parts, known = [], {**os.environ, **resolved}
        for part in parse_variables(value) if value else ():
            parts.append(part.resolve(known))
            left -= len(parts[-1])
            if left < 0:
                most = f"{_MOST_DOTENV_BYTES // 2**20} MB"
                raise InputError(f"{label}: {name}: with what ${{...}} stands for its values are more than {most}")
        resolved[name] = None if value is None else "".join(parts)
    return resolved


def read_settings_file(root: Path) -> dict[str, Any]:
    """What a project's `conceptbooth.toml` says; nothing where there is none. InputError where it cannot be read."""
    file = root / SETTINGS_FILE
    return read_toml(file, str(file)) if file.exists() else {}


def unread_variables(root: Path) -> list[str]:
    """Variables of the libraries in `.env` that nobody hands on to them, so that they mean nothing there."""
    ours = {"MLFLOW_TRACKING_URI", "PREFECT_API_URL", *CREDENTIALS}
    return sorted(name for name in read_dotenv(root) if name.startswith(LIBRARIES) and name not in ours)

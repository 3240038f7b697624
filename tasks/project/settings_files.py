"""The two files beside params.yaml that settings come from, `.env` and `conceptbooth.toml`, read within bounds."""

import io
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

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
    return dotenv_values(stream=io.StringIO(read_text(file, str(file), _MOST_DOTENV_BYTES)))


def read_settings_file(root: Path) -> dict[str, Any]:
    """What a project's `conceptbooth.toml` says; nothing where there is none. InputError where it cannot be read."""
    file = root / SETTINGS_FILE
    return read_toml(file, str(file)) if file.exists() else {}


def unread_variables(root: Path) -> list[str]:
    """Variables of the libraries in `.env` that nobody hands on to them, so that they mean nothing there."""
    ours = {"MLFLOW_TRACKING_URI", "PREFECT_API_URL", *CREDENTIALS}
    return sorted(name for name in read_dotenv(root) if name.startswith(LIBRARIES) and name not in ours)

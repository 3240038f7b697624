"""What the address of MLflow means: a server, a database or a file, and what is wrong with it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from tasks.project.settings import Settings

EXPERIMENT = "conceptbooth"
SERVER_SCHEMES = ("http", "https")
DATABASE_PORTS = {"sqlite": None, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def artifact_location(settings: Settings) -> str | None:
    """Where runs of a database without server put their files; None if a server decides."""
    return None if scheme_of(settings.mlflow_tracking_uri) in SERVER_SCHEMES else settings.mlflow_artifact_root


def address_problem(settings: Settings) -> str | None:
    """What is wrong with the tracking address, seen without asking anyone; None if nothing."""
    uri = settings.mlflow_tracking_uri
    scheme, parts = scheme_of(uri), urlsplit(uri)
    if scheme in SERVER_SCHEMES or (scheme in DATABASE_PORTS and scheme != "sqlite"):
        return None if parts.hostname else f"MLflow tracking address {shown(settings)}: it names no host"
    if scheme == "sqlite":
        return _folder_problem(sqlite_file(uri)) or _moved_problem(settings)
    return (
        f"MLflow tracking address {shown(settings)}: write http(s)://host:port, sqlite:///folder/mlflow.db, or a "
        "postgresql://, mysql:// or mssql:// database (MLFLOW_TRACKING_URI; leave it unset for the embedded one)"
    )


def is_unused(settings: Settings) -> bool:
    """Whether nothing was ever recorded: the first training makes the embedded database's file."""
    uri = settings.mlflow_tracking_uri
    return address_problem(settings) is None and scheme_of(uri) == "sqlite" and not sqlite_file(uri).exists()


def shown(settings: Settings) -> str:
    """The tracking address as a person may see it: without user and password."""
    return _without_credentials(settings.mlflow_tracking_uri, settings)


def _without_credentials(text: str, settings: Settings) -> str:
    place = urlsplit(settings.mlflow_tracking_uri).netloc
    return text.replace(place, place.rpartition("@")[2]) if "@" in place else text


def scheme_of(uri: str) -> str:
    """`postgresql` of `postgresql+psycopg2://...`."""
    return urlsplit(uri).scheme.partition("+")[0]


def sqlite_file(uri: str) -> Path:
    """The database file of a sqlite:/// address, as SQLAlchemy reads it: all up to a ?, no letter of it replaced."""
    return Path(uri.partition(":///")[2].partition("?")[0])


def _moved_problem(settings: Settings) -> str | None:
    """Whether the project was moved since its database was made; MLflow itself would take seconds to say so."""
    file = sqlite_file(settings.mlflow_tracking_uri)
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)
            ).fetchall()
    except sqlite3.Error:
        return None  # no table yet, or something that MLflow will say better
    return _other_place(settings, rows[0][0]) if rows else None


def _other_place(settings: Settings, location: str) -> str | None:
    """What to do about an experiment whose files lie somewhere else than the settings say; None if they do not."""
    root = artifact_location(settings)
    if root in (None, location):
        return None
    said = f"MLflow's database {shown(settings)} keeps its files in {location}, but the settings say {root}"
    anew = (
        f"move {sqlite_file(settings.mlflow_tracking_uri).parent} away and run `conceptbooth train` again, which "
        "registers what the store holds without training"
    )
    if root == (settings.home / "mlflow" / "artifacts").as_uri():
        # Whatever the settings said, the database would go on writing into the folder that was left.
        return f"{said}: the project was moved or copied since; move it back, or {anew}"
    return f"{said}: set mlflow_artifact_root to where they are, or {anew}"


def _folder_problem(file: Path) -> str | None:
    """Whether SQLite could make and change this file, and the journal that it keeps beside it."""
    if not file.is_absolute():
        return f"MLflow database sqlite:///{file}: a relative path means another file in every folder; write it whole"
    if file.exists() and not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
        return f"MLflow database {file}: no file that can be written; change its permissions or MLFLOW_TRACKING_URI"
    folder = next(parent for parent in file.parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return f"MLflow database {file}: {folder} is no folder that can be written; change its permissions"
    return None

"""MLflow's embedded database: its tables are made aside, so that a killed command leaves all of them or none."""

import sqlite3
from pathlib import Path

from tasks.files.sqlite_files import is_empty, put_in_place, remove_database, revision

_USED = ("runs", "registered_models", "logged_models", "experiment_tags")
"""Tables of which one has a row as soon as anything was recorded."""


def make_mlflow_database(file: Path) -> None:
    """Make MLflow's database where there is none, or one that a killed process has left half made; call it alone.

    It takes its place whole.
    """
    if file.exists() and not half_made(file):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.new")
    remove_database(aside)  # of a process that was killed
    store = SqlAlchemyStore(f"sqlite:///{aside}", (file.parent / "artifacts").as_uri())
    store.engine.dispose()
    put_in_place(aside, file)


def half_made(file: Path) -> bool:
    """Whether a database holds nothing, and not all of its tables: somebody was killed who made them.

    One that another version of MLflow has made and used is not, nor is one that cannot be read now.
    """
    try:
        return is_empty(file, _USED) and revision(file) != _newest()
    except sqlite3.Error:
        return False


def _newest() -> str:
    """The revision of this MLflow's tables."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())

"""Whether a database of MLflow or Prefect has tables that the installed one can work with, without importing either."""

import importlib.metadata
import importlib.util
import re
import sqlite3
from contextlib import closing
from pathlib import Path

MIGRATIONS = {"mlflow": "store/db_migrations/versions", "prefect": "server/database/_migrations/versions/sqlite"}
"""Where the packages keep the steps from one form of their tables to the next."""
_REVISIONS = re.compile(r"^(down_revision|revision)\b[^=\n]*=(.*)$", re.MULTILINE)
_REVISION = re.compile(r"[\"']([0-9a-f]+)[\"']")


def form_problem(file: Path, package: str) -> str | None:
    """What is wrong with the form of the tables in `file`, which `package` keeps; None if nothing, or not known."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return None
            found = [name for (name,) in database.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.Error as error:
        return str(error)
    known, newest = _forms(package)
    if len(found) != 1 or not known or found[0] in newest:
        return None
    installed = f"{package} {importlib.metadata.version(package)}"
    if found[0] not in known:
        return f"its tables ({found[0]}) are of a newer {package} than the installed {installed}"
    # Prefect brings older tables up to date by itself
    return None if package == "prefect" else f"its tables ({found[0]}) are of an older {package} than {installed}"


def _forms(package: str) -> tuple[set[str], set[str]]:
    """The forms of tables that the installed package knows, and the newest of them, from which no step leads on."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    known, left = set[str](), set[str]()
    for folder in folders or ():
        for step in Path(folder, MIGRATIONS[package]).glob("*.py"):
            for kind, names in _REVISIONS.findall(step.read_text(encoding="utf-8")):
                (known if kind == "revision" else left).update(_REVISION.findall(names))
    return known, known - left

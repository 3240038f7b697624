"""A site as commit 29f5cd8 left it (old_site/site.tar.xz, made by make.py.txt beside it), put somewhere to work in.

Two trainings of `owl`, registered; both promoted, then rolled back to the first; one image, which nobody saw, taken
down. Its records carry no seals, its trainings no signatures, its weights are whole and float32.
"""

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

from tasks.project.settings import Settings, load_settings
from tasks.registry.store_records import address_of, registry_id
from tests.data_project import commit, git

SITE = Path(__file__).parent / "old_site" / "site.tar.xz"
CONCEPT = "owl"
_WAS = "/srv/site/project"


def unpack_old_site(folder: Path) -> Settings:
    """The project, with a git repository of its own; MLflow's database and the store know where it lies now."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(SITE) as packed:
        packed.extractall(folder, filter="data")
    root = folder / "project"
    for path in root.rglob("*"):
        if path.is_file() and path.stat().st_nlink > 1:  # files of one content are one in the archive
            single = path.with_name(f".{path.name}.single")
            shutil.copyfile(path, single)
            single.chmod(path.stat().st_mode)
            single.replace(path)
    with sqlite3.connect(root / ".conceptbooth" / "mlflow" / "mlflow.db") as database:
        _tell_where(database, root)
    git(root, "init", "--quiet")
    commit(root)
    settings = load_settings(root)
    (registry,) = (root / ".conceptbooth" / "store" / "registries").iterdir()
    (registry / "registry.json").unlink()
    (registry / "registry.json").write_text(json.dumps({"address": address_of(settings)}))
    registry.rename(registry.with_name(registry_id(settings)))
    return settings


def _tell_where(database: sqlite3.Connection, root: Path) -> None:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                changed = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE "{column}" LIKE ?'
                database.execute(changed, (_WAS, str(root), f"%{_WAS}%"))

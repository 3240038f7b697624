"""Prefect's embedded database: its tables are made aside, so that a killed command leaves all of them or none.

`python -m flows.server.prefect_database` makes the one in PREFECT_HOME, or says what is wrong with it.
"""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.files.sqlite_files import busy_words, is_busy, is_empty, put_in_place, remove_database, revision

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_USED = ("flow_run", "task_run", "block_document", "deployment", "variable", "artifact")


class DatabaseUnfit(Exception):
    """Prefect's database cannot be used; the message says why, and what helps."""


def prefect_database() -> Path:
    """The file in PREFECT_HOME."""
    return Path(os.environ["PREFECT_HOME"]) / "prefect.db"


def make_prefect_database() -> None:
    """Make Prefect's database where there is none, or one that a killed process has left half made; call it alone.

    Raises:
        DatabaseUnfit: the one that is there is of a newer Prefect, damaged, or locked by another process.
    """
    file = prefect_database()
    if file.exists() and not _half_made(file):
        return
    aside = file.with_name(f".{file.name}.new")
    remove_database(aside)  # of a process that was killed
    _make(aside)
    put_in_place(aside, file)


def _half_made(file: Path) -> bool:
    """Whether it holds nothing, and not all of its tables. Raises DatabaseUnfit."""
    try:
        found, empty = revision(file), is_empty(file, _USED)
        _write_nothing(file)
    except sqlite3.Error as error:
        if is_busy(error):
            raise DatabaseUnfit(f"Prefect's database {busy_words(file)}") from error
        raise DatabaseUnfit(
            f"Prefect's database {file} is damaged ({error}); move it away: only the pages of past runs are lost"
        ) from error
    scripts = _scripts()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseUnfit(
            f"Prefect's database {file} was made by a newer Prefect (revision {found}, which this one does not know); "
            "install that one, or move the file away: only the pages of past runs are lost with it"
        )
    return empty and found != scripts.get_current_head()


def _write_nothing(file: Path) -> None:
    """Raise sqlite3.Error where nobody could write into the database now."""
    database = sqlite3.connect(file, timeout=5, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")
    finally:
        database.close()


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory
    from prefect.server.database.alembic_commands import alembic_config
    from prefect.server.database.orm_models import AioSqliteORMConfiguration

    scripts = ScriptDirectory.from_config(alembic_config())
    scripts.version_locations = [str(AioSqliteORMConfiguration().versions_dir)]
    return scripts


def _make(file: Path) -> None:
    from prefect.server.database.dependencies import provide_database_interface, temporary_database_config
    from prefect.settings import temporary_settings

    async def tables() -> None:
        database = provide_database_interface()
        await database.create_db()
        await (await database.engine()).dispose()

    url = {"server.database.connection_url": f"sqlite+aiosqlite:///{file}"}
    with temporary_settings(url), temporary_database_config(None):
        asyncio.run(tables())


if __name__ == "__main__":
    try:
        make_prefect_database()
    except DatabaseUnfit as unfit:
        sys.exit(str(unfit))

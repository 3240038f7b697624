"""Databases in a file: which tables there are, and who holds it; and such as are derived from something else."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

_LOOK_SECONDS = 1.0
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_busy(error: BaseException | None) -> bool:
    """Whether SQLite did not do something because another has the database locked."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", None) in _BUSY


def busy_words(file: Path) -> str:
    """That a database is locked, and by whom, as far as this machine tells it."""
    return f"{file} is busy, held by {holders(file)}; wait for it, or stop it, and run the same command again"


def holders(file: Path) -> str:
    """The other processes that have a file open; of other users' the system says nothing."""
    wanted = {os.path.realpath(file) + suffix for suffix in ("", "-wal", "-journal", "-shm")}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(str(handle.readlink()) in wanted for handle in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(f"process {process.name} ({words[:80]})")
        except OSError:  # it has ended, or is another user's
            continue
    return ", ".join(sorted(found)) or "another process"


def revision(file: Path) -> str | None:
    """The revision of its tables, as Alembic notes it; None where they were never all made. Raises sqlite3.Error."""
    with _opened(file) as database:
        if not _has_table(database, "alembic_version"):
            return None
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def is_empty(file: Path, tables: tuple[str, ...]) -> bool:
    """Whether none of these tables is there with a row in it. Raises sqlite3.Error."""
    with _opened(file) as database:
        there = [table for table in tables if _has_table(database, table)]
        return all(database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None for table in there)


def remove_database(file: Path) -> None:
    """Remove a database with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def put_in_place(made: Path, file: Path) -> None:
    """Give a finished database, which nobody has open, its name, in one step; what is half made there is replaced."""
    for suffix in ("-wal", "-shm", "-journal"):  # of the one before: SQLite would play it into the new one
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    made.replace(file)


def derived_database(file: Path, tables: str, schema: int) -> sqlite3.Connection:
    """A database that can be made anew from what it was derived from: with these tables, empty where it was not there.

    One that is damaged, or of another schema, is thrown away. Raises sqlite3.OperationalError where it cannot be used.
    """
    try:
        return _with_tables(file, tables, schema)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
            raise
        file.unlink(missing_ok=True)
        return _with_tables(file, tables, schema)


def _with_tables(file: Path, tables: str, schema: int) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=60)
    try:
        with database:
            database.execute("BEGIN IMMEDIATE")
            if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in tables.split(";"):
                    database.execute(statement)
                database.execute("CREATE TABLE about (schema INTEGER)")
                database.execute("INSERT INTO about VALUES (?)", (schema,))
        if database.execute("SELECT schema FROM about").fetchone() != (schema,):
            raise sqlite3.DatabaseError("another version's")
    except BaseException:
        database.close()
        raise
    return database


def _opened(file: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=_LOOK_SECONDS))


def _has_table(database: sqlite3.Connection, name: str) -> bool:
    asked = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return asked.fetchone() is not None

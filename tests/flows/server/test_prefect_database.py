"""Prefect's embedded server: whole tables or none, its reasons told, and what is meant for other servers kept away."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from flows.server.local_api import prefect_api
from model.errors import WorkFailed
from tasks.files.sqlite_files import is_empty, revision
from tasks.project.settings import Settings

MAKE = [sys.executable, "-m", "flows.server.prefect_database"]
RUN = """
import sys
from pathlib import Path
from flows.server.local_api import flows_run_at, prefect_api
from tasks.project.settings import Settings, apply_environment
settings = Settings(root=Path(sys.argv[1]))
apply_environment(settings)
with prefect_api(settings) as api:
    from prefect import flow
    with flows_run_at(api):
        print(flow(lambda: 7, name="seven")())
"""
HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(100)
"""
ELSEWHERE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "PREFECT_SERVER_API_AUTH_STRING": "admin:secret",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/nothing",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A whole database."""
    home = tmp_path_factory.mktemp("prefect")
    done = subprocess.run(MAKE, env={**os.environ, "PREFECT_HOME": str(home)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in home.iterdir()] == ["prefect.db"]
    return home / "prefect.db"


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in PREFECT_HOME."""
    shutil.copyfile(made, tmp_path / "prefect.db")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


def said_by_the_server(home: Path) -> str:
    (home / "params.yaml").touch()
    settings = Settings(root=home, prefect_home=home)
    with prefect_api(settings) as api, pytest.raises(WorkFailed) as caught:
        api.wait_until_it_answers()
    return str(caught.value)


def test_a_newer_database_is_named(home: Path) -> None:
    with closing(sqlite3.connect(home / "prefect.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffff'")
    assert "was made by a newer Prefect (revision fffffffffff" in said_by_the_server(home)


def test_a_damaged_database_is_named(home: Path) -> None:
    (home / "prefect.db").write_bytes(b"no database" * 1000)
    assert "is damaged (file is not a database); move it away" in said_by_the_server(home)


def test_a_locked_database_is_busy_and_not_to_be_moved(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, home / "prefect.db"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        said = said_by_the_server(home)
        holder.kill()
    assert f"is busy, held by process {holder.pid}" in said
    assert "move" not in said


def test_a_half_made_database_is_made_anew(home: Path) -> None:
    newest = revision(home / "prefect.db")
    with closing(sqlite3.connect(home / "prefect.db")) as database, database:
        database.execute("DROP TABLE artifact")
        database.execute("UPDATE alembic_version SET version_num = (SELECT 'e2dae764a603')")
    subprocess.run(MAKE, check=True)
    assert revision(home / "prefect.db") == newest
    assert is_empty(home / "prefect.db", ("artifact",))


def test_killed_while_it_is_made_it_is_not_there_and_the_next_makes_it(tmp_path: Path) -> None:
    variables = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    process = subprocess.Popen(MAKE, env=variables)
    while not (tmp_path / ".prefect.db.new").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "prefect.db").exists()
    subprocess.run(MAKE, env=variables, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["prefect.db"]


def test_what_is_set_for_other_servers_and_proxies_does_not_reach_ours(made: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / ".conceptbooth/prefect").mkdir(parents=True)
    shutil.copyfile(made, tmp_path / ".conceptbooth/prefect/prefect.db")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    done = subprocess.run(command, env={**kept, **ELSEWHERE}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["7"]

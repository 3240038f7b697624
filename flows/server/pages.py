"""`conceptbooth ui`: the pages of Prefect and MLflow over the project's own databases, on loopback, until Ctrl-C."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from rich.text import Text

from flows.output.console import notices, results
from flows.server.local_api import database_alone
from flows.server.server_process import LOOPBACK, ServerProcess, free_port, server_environment, start_server
from model.errors import WorkFailed
from tasks.project.settings import Settings, shown_api
from tasks.tracking.address import SERVER_SCHEMES, scheme_of, shown, sqlite_file
from tasks.tracking.client import OF_A_SERVER, import_mlflow, tables_alone
from tasks.tracking.embedded import make_mlflow_database

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page to look at."""

    name: str
    shows: str
    address: str
    """Of the server."""
    start: str
    """Where to begin, behind the address."""


def serve(settings: Settings) -> None:
    """Print the addresses of both pages as soon as they answer, and keep our servers running until Ctrl-C.

    A server that the settings name elsewhere is not started, only shown; if this project's pages are shown already,
    their addresses are printed and that is all.

    Raises:
        WorkFailed: a server does not start, or ends by itself; the message holds the last lines of its log.
    """
    folder = settings.home / "ui"
    folder.mkdir(parents=True, exist_ok=True)
    addresses = folder / "addresses.json"
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not addresses.is_file():
                raise WorkFailed("another `conceptbooth ui` of this project is just starting; ask again soon") from None
            _show([Page(**page) for page in json.loads(addresses.read_text(encoding="utf-8"))], "shown already")
            return
        addresses.unlink(missing_ok=True)  # those of a run before
        with _until_stopped(), _running(settings, folder) as (pages, servers):
            spool = addresses.with_suffix(".new")
            spool.write_text(json.dumps([asdict(page) for page in pages]), encoding="utf-8")
            spool.replace(addresses)
            _show(pages, "Ctrl-C stops both" if len(servers) == 2 else "Ctrl-C stops what was started here")
            while servers:
                for server in servers:
                    server.check_alive()
                time.sleep(LOOK_SECONDS)


@contextmanager
def _running(settings: Settings, logs: Path) -> Iterator[tuple[list[Page], list[ServerProcess]]]:
    """Both pages and our servers behind them, which answer; they are stopped at the end, or if one never comes up."""
    with ExitStack() as stopping:
        starting = notices().status("starting the pages of Prefect and MLflow, up to half a minute")
        with starting, database_alone(), tables_alone(settings):  # a training may be making the same tables
            _make_databases(settings)
            if prefect := _start_prefect(settings, logs):
                stopping.callback(prefect.stop)
            if mlflow := _start_mlflow(settings, logs):
                stopping.callback(mlflow.stop)
            servers = [server for server in (prefect, mlflow) if server]
            for server in servers:
                server.wait_until_it_answers()
        yield (
            [
                Page(
                    name="Prefect",
                    shows="runs, task by task, with their progress",
                    address=prefect.address if prefect else shown_api(settings).rstrip("/").removesuffix("/api"),
                    start="/",
                ),
                Page(
                    name="MLflow",
                    shows="scores, curves, galleries and registered models",
                    address=mlflow.address if mlflow else shown(settings).rstrip("/"),
                    # without this it begins with its pages for language models
                    start="/#/experiments?workflowType=machine_learning",
                ),
            ],
            servers,
        )


def _make_databases(settings: Settings) -> None:
    """Those that are embedded, whole, before servers open them. WorkFailed where Prefect's cannot be used."""
    if not settings.prefect_api_url:
        command = [sys.executable, "-m", "flows.server.prefect_database"]
        done = subprocess.run(command, env=server_environment({}), capture_output=True, text=True)
        if done.returncode != 0:
            raise WorkFailed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "Prefect's database")
    if scheme_of(settings.mlflow_tracking_uri) == "sqlite":
        import_mlflow(settings)
        make_mlflow_database(sqlite_file(settings.mlflow_tracking_uri))


def _start_prefect(settings: Settings, logs: Path) -> ServerProcess | None:
    """Prefect's server, or None where the settings name one."""
    if settings.prefect_api_url:
        return None
    port = free_port(PREFECT_PORT)
    return start_server(
        "Prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)],
        port=port,
        health="/api/health",
        log=logs / "prefect.log",
        # The page asks the API at port 4200 unless it is told otherwise.
        variables={"PREFECT_UI_API_URL": f"http://{LOOPBACK}:{port}/api"},
    )


def _start_mlflow(settings: Settings, logs: Path) -> ServerProcess | None:
    """MLflow's server over the project's database, or None where the settings name a server."""
    if scheme_of(settings.mlflow_tracking_uri) in SERVER_SCHEMES:
        return None
    port = free_port(MLFLOW_PORT)
    place = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri]
    files = ["--default-artifact-root", settings.mlflow_artifact_root, "--no-serve-artifacts"]
    return start_server(
        "MLflow",
        [sys.executable, "-m", "mlflow", "server", *place, *store, *files],
        port=port,
        health="/health",
        log=logs / "mlflow.log",
        variables={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **OF_A_SERVER},
    )


def _show(pages: Sequence[Page], hint: str) -> None:
    console = results()
    for page in pages:
        console.print(Text.assemble(f"{page.name:<9}", (f"{page.address}{page.start}", "bold")), soft_wrap=True)
        console.print(Text.assemble(f"{'':<9}", (page.shows, "dim")), soft_wrap=True)
    notices().print(Text(hint, "dim"))


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ctrl-C ends what is inside, and SIGTERM does as well, so that a supervisor leaves no servers behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        notices().print("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)

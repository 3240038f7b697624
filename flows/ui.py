"""`conceptbooth ui`: the pages of Prefect and MLflow over the project's own databases, on loopback, until Ctrl-C."""

import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from flows.console import notices, results
from flows.server_process import LOOPBACK, ServerProcess, free_port, start_server
from model.errors import WorkFailed
from tasks.settings import Settings
from tasks.tracking import SERVER_SCHEMES, scheme_of, shown

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page to look at, with the server behind it if that is ours."""

    name: str
    shows: str
    address: str
    server: ServerProcess | None = None


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
        with _terminated_like_interrupted(), _pages(settings, folder) as pages:
            facts = [{"name": page.name, "shows": page.shows, "address": page.address} for page in pages]
            addresses.write_text(json.dumps(facts), encoding="utf-8")
            ours = [page.server for page in pages if page.server]
            _show(pages, "Ctrl-C stops both" if len(ours) == 2 else "Ctrl-C stops what was started here")
            try:
                while ours:
                    for server in ours:
                        server.check_alive()
                    time.sleep(LOOK_SECONDS)
            except KeyboardInterrupt:
                notices().print("stopping")


@contextmanager
def _pages(settings: Settings, logs: Path) -> Iterator[list[Page]]:
    """Both pages, answering; our servers are stopped at the end, also when one of them never came up."""
    with ExitStack() as running, notices().status("starting the pages of Prefect and MLflow, up to half a minute"):
        pages = [_prefect_page(settings, logs), _mlflow_page(settings, logs)]
        for page in pages:
            if page.server:
                running.callback(page.server.stop)
        for page in pages:
            if page.server:
                page.server.wait_until_it_answers()
        keep = running.pop_all()
    with keep:
        yield pages


def _prefect_page(settings: Settings, logs: Path) -> Page:
    shows = "runs, task by task, with their progress"
    if settings.prefect_api_url:
        return Page(name="Prefect", shows=shows, address=settings.prefect_api_url.rstrip("/").removesuffix("/api"))
    port = free_port(PREFECT_PORT)
    server = start_server(
        "Prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)],
        port=port,
        health="/api/health",
        log=logs / "prefect.log",
        # The page asks the API at port 4200 unless it is told otherwise.
        variables={"PREFECT_UI_API_URL": f"http://{LOOPBACK}:{port}/api"},
    )
    return Page(name="Prefect", shows=shows, address=server.address, server=server)


def _mlflow_page(settings: Settings, logs: Path) -> Page:
    shows = "scores, curves, galleries and registered models"
    if scheme_of(settings.mlflow_tracking_uri) in SERVER_SCHEMES:
        return Page(name="MLflow", shows=shows, address=shown(settings))
    port = free_port(MLFLOW_PORT)
    place = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", settings.mlflow_tracking_uri]
    files = ["--default-artifact-root", settings.mlflow_artifact_root, "--no-serve-artifacts"]
    server = start_server(
        "MLflow",
        [sys.executable, "-m", "mlflow", "server", *place, *store, *files],
        port=port,
        health="/health",
        log=logs / "mlflow.log",
        variables={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    return Page(name="MLflow", shows=shows, address=server.address, server=server)


def _show(pages: list[Page], hint: str) -> None:
    console = results()
    for page in pages:
        console.print(f"{page.name:<9}[bold]{page.address}[/]   {page.shows}", soft_wrap=True)
    notices().print(f"[dim]{hint}[/]")


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Inside, SIGTERM stops us as Ctrl-C does, so that a supervisor leaves no servers behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Prefect's API for as long as one command needs it: a child process on loopback, over the project's own database.

Nothing has to be set up, and the pages of `conceptbooth ui` later show what ran. A server that the settings name, or
the one behind a `conceptbooth ui` that is running, is used instead.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.server_process import LOOPBACK, ServerProcess, answers, free_port, start_server
from tasks.settings import Settings

_PARENT_LOOK_SECONDS = 1.0
_HEALTH = "/api/health"

# What the run leaves must be in the database when the command ends, seconds after its last event.
_VARIABLES = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    # Whole seconds: Prefect cuts the fraction off, and a flush every 0 seconds takes a whole core from the training.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


@dataclass(frozen=True, kw_only=True)
class PrefectApi:
    """An API to run flows with."""

    url: str
    server: ServerProcess | None = None
    """Ours, which may still be starting."""

    def wait_until_it_answers(self) -> None:
        """WorkFailed, with the last lines of its log, if our server does not come up."""
        if self.server:
            self.server.wait_until_it_answers()


@contextmanager
def prefect_api(settings: Settings) -> Iterator[PrefectApi]:
    """Prefect's API while the block runs. A server of ours starts in the background, to save the wait for it."""
    url = settings.prefect_api_url or _url_of_pages(settings)
    if url:
        yield PrefectApi(url=url)
        return
    server = start_server(
        "Prefect's API",
        [sys.executable, "-m", "flows.prefect_api", str(port := free_port(0))],
        port=port,
        health=_HEALTH,
        log=settings.prefect_home / "api.log",
        variables=_VARIABLES,
    )
    try:
        yield PrefectApi(url=f"{server.address}/api", server=server)
    finally:
        server.stop()


def _url_of_pages(settings: Settings) -> str | None:
    """The API behind this project's `conceptbooth ui`, if that is running."""
    folder = settings.home / "ui"
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        pages = json.loads((folder / "addresses.json").read_text(encoding="utf-8"))
        url = next((f"{page['address']}/api" for page in pages if page["name"] == "Prefect"), None)
        return url if url and answers(f"{url}/health") else None
    return None


def _serve(port: int) -> None:
    """What the child process runs; it ends with its parent, in whatever way that one ends."""
    import uvicorn

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host=LOOPBACK, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

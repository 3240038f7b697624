"""Prefect's API for as long as one command needs it: a child process on loopback, over the project's own database.

Nothing has to be set up, and the pages of `conceptbooth ui` show what runs, now or later. A server that the settings
name is used instead; the one behind a running `conceptbooth ui` is not, because who closes the pages must not end a
training.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.server.prefect_database import DatabaseUnfit, make_prefect_database
from flows.server.result_storage import save_result_block
from flows.server.server_process import (
    LOOPBACK,
    ServerProcess,
    free_port,
    reach_loopback_directly,
    start_server,
)
from model.errors import WorkFailed
from tasks.files.addresses import hide_credentials, without_credentials
from tasks.files.locks import file_lock
from tasks.files.s3_url import S3Url
from tasks.project.settings import Settings, result_block

_PARENT_LOOK_SECONDS = 1.0
_HEALTH = "/api/health"
_DRAIN_SECONDS = 10  # for Prefect to hand over the last logs and states of a run before its API ends

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
    settings: Settings
    server: ServerProcess | None = None
    """Ours, which may still be starting."""

    def wait_until_it_answers(self) -> None:
        """WorkFailed, with the last lines of its log, if our server does not come up."""
        if self.server:
            self.server.wait_until_it_answers()


@contextmanager
def prefect_api(settings: Settings) -> Iterator[PrefectApi]:
    """Prefect's API while the block runs. A server of ours starts in the background, to save the wait for it.

    Raises:
        WorkFailed: the server that the settings name does not answer.
    """
    if settings.prefect_api_url:
        _reach(settings.prefect_api_url)
        yield PrefectApi(url=settings.prefect_api_url, settings=settings)
        return
    reach_loopback_directly()
    server = start_server(
        "Prefect's API",
        [sys.executable, "-m", "flows.server.local_api", str(port := free_port(0))],
        port=port,
        health=_HEALTH,
        log=settings.prefect_home / "api.log",
        variables=_VARIABLES,
    )
    try:
        yield PrefectApi(url=f"{server.address}/api", settings=settings, server=server)
    finally:
        server.stop()


@contextmanager
def flows_run_at(api: PrefectApi) -> Iterator[None]:
    """Flows that are called inside run at this API, which is waited for; at the end it has heard everything of them.

    Those of processes that were killed are shown as running no longer.

    Raises:
        WorkFailed: the API does not come up.
    """
    from prefect.client.orchestration import get_client
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    from flows.server.lost_runs import end_lost_runs

    api.wait_until_it_answers()
    # Prefect has read its settings when it was imported, before the address was known. Heartbeats are for flows that
    # a server has started and watches; ours would only make the end of each run wait a second for them.
    results = api.settings.prefect_results
    block = result_block(results) if isinstance(results, S3Url) else None
    told = {"api.url": api.url, "flows.heartbeat_frequency": None, "results.default_storage_block": block}
    with temporary_settings(told):
        save_result_block(api.settings)
        with get_client(sync_client=True) as client:
            end_lost_runs(client)
        try:
            yield
        finally:
            for worker in (APILogWorker, EventsWorker):
                # It is nobody's business how many items are left.
                logging.getLogger(worker.__name__).setLevel(logging.ERROR)
                worker.drain_all(timeout=_DRAIN_SECONDS)


def _reach(url: str) -> None:
    """WorkFailed unless Prefect answers there; asked by its own client, which knows keys, proxies and certificates."""
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        said = hide_credentials(str(error), url)
        raise WorkFailed(
            f"Prefect at {without_credentials(url)} does not answer ({said}); start it, or unset PREFECT_API_URL to "
            "work without a server"
        ) from error


def database_alone() -> AbstractContextManager[None]:
    """Inside, no other server of ours makes or migrates the tables of Prefect's database: of two at once, one fails."""
    lock = Path(os.environ["PREFECT_HOME"]) / "migration.lock"
    return file_lock(lock, lambda: print("waiting: another server is making the database's tables", file=sys.stderr))


def _serve(port: int) -> None:
    """What the child process runs; it ends with its parent, in whatever way that one ends."""
    import uvicorn

    parent = os.getppid()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with database_alone():  # an older Prefect's tables are brought up to date
                await super().startup(sockets)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    try:
        with database_alone():
            make_prefect_database()
    except DatabaseUnfit as unfit:
        sys.exit(str(unfit))
    app = "prefect.server.api.server:create_app"
    Server(uvicorn.Config(app, factory=True, host=LOOPBACK, port=port, log_level="error", lifespan="on")).run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

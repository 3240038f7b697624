"""A site for tests: a project with a Prefect server and workers by name, and looks at what runs there."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from flows.server.shared_server import server_client
from tasks.project.settings import Settings, environment

CONCEPTBOOTH = str(Path(sys.executable).with_name("conceptbooth"))
T = TypeVar("T")


@dataclass
class Site:
    """A project, a Prefect server, and workers by name."""

    settings: Settings
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of everything that runs on this site."""
        return os.environ | environment(self.settings) | {"PREFECT_WORKER_QUERY_SECONDS": "1", "OMP_NUM_THREADS": "1"}

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.settings.root, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self) -> dict[str, Any]:
        return json.loads(self.run(CONCEPTBOOTH, "deploy", "--json"))

    def start_worker(self, name: str, *arguments: str) -> None:
        with (self.settings.root / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [CONCEPTBOOTH, "worker", *arguments],
                cwd=self.settings.root,
                env=self.variables | {"WORKER_ID": name},
                stdout=log,
                stderr=log,
                start_new_session=True,
                # As a shell starts what it puts into the background; a worker has to end on SIGTERM all the same.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )

    def stop_worker(self, name: str) -> None:
        """In good order; it takes its flow runs along."""
        worker = self.workers.pop(name)
        worker.terminate()
        worker.wait(timeout=120)

    def client(self) -> Any:
        return server_client(self.settings)


def until(look: Callable[[], T | None], what: str, seconds: float = 300) -> T:
    """What `look` finds, once it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen")


def state(client: SyncPrefectClient, run_id: UUID) -> str:
    found = client.read_flow_run(run_id).state
    return found.name if found else ""


def logged(client: SyncPrefectClient, runs: Sequence[UUID], word: str) -> list[tuple[str, datetime, int]]:
    """Slot, time and process of each log line of these runs that says that a slot was `word`."""
    lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=list(runs))), limit=200)
    pattern = re.compile(rf"(gpu-\S+) {word} by process (\d+)")
    found = [(match, line.timestamp) for line in lines if (match := pattern.fullmatch(line.message))]
    return [(match[1], at, int(match[2])) for match, at in found]


def runs_of(client: SyncPrefectClient, deployment: str) -> list[FlowRun]:
    wanted = client.read_deployment_by_name(deployment).id
    return [run for run in client.read_flow_runs() if run.deployment_id == wanted]

"""`conceptbooth deploy`: check prefect.yaml and what it needs, then have Prefect make work pools and deployments of it.

The deployments themselves are made by `prefect deploy --all`, here as on its own: there is one way to what they are.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from flows.output.console import notices, print_json, results
from flows.output.invocation import command
from flows.server.result_storage import save_result_block
from flows.server.shared_server import PrefectServer, fitting_server, server_client
from flows.workers.automations import make_night_watches, make_watch
from flows.workers.deployments import FILE, Deployment, read_deployments, unknown_pool
from flows.workers.worker import CPU_POOL, GPU_POOL, POOL_TYPE, pool_type
from model.errors import InputError, WorkFailed
from model.runtime.device import left_to_the_machine
from tasks.project.params import load_params
from tasks.project.settings import Settings, shown_api

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

SCHEDULER_SECONDS = 60
"""Within this time a server's scheduler makes the runs of a new schedule: it looks every five seconds."""
_HORIZON = timedelta(days=90)
"""Prefect's scheduler makes no runs that lie further ahead than a hundred days."""
_TAIL = 15


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment as it is on the server."""

    name: str
    """Flow and deployment: `nightly/nightly`."""
    pool: str
    schedules: tuple[str, ...]
    next_run: str | None
    """The first run that the server has scheduled: UTC, ISO 8601."""


def run_deploy(settings: Settings, *, as_json: bool) -> None:
    """Make work pools, deployments and the watch over silent runs; print what there is now, and how to start workers.

    Raises:
        InputError: something is wrong with prefect.yaml, the settings or the server; all of it together, nothing made.
        WorkFailed: Prefect refuses a deployment, or schedules no runs of it.
    """
    server, deployments = _checked(settings)
    with server_client(settings) as client:
        made = [name for name in _pools(deployments) if _make_pool(client, name)]
        _make_deployments(settings)
        present = [_present(client, deployment) for deployment in deployments]
        make_watch(client, present)
        night_watches = make_night_watches(client, settings, deployments, present)
        save_result_block(settings)
        with notices().status("waiting for the server to schedule the first run"):
            found = [_deployed(client, settings, *pair) for pair in zip(deployments, present, strict=True)]
    next_commands = [f"{command()} worker --cpu", f"{command()} worker --gpu 0"]
    if as_json:
        print_json(
            {
                "server": server.url,
                "version": server.version,
                "pools_made": made,
                "deployments": [asdict(deployed) for deployed in found],
                "automations": night_watches,
                "warnings": [warning for warning in [server.lease_warning()] if warning],
                "next": next_commands,
            }
        )
    else:
        _show(server, found, next_commands)
        _show_watches(settings, night_watches)


def _checked(settings: Settings) -> tuple[PrefectServer, list[Deployment]]:
    """The server and what is to be made on it."""
    problems: list[str] = []
    server, deployments = None, []
    try:
        problems += left_to_the_machine(settings.device, load_params(settings.params_file).dtype)
    except InputError as error:
        problems += error.problems
    try:
        deployments = read_deployments(settings.root / FILE)
    except InputError as error:
        problems += error.problems
    try:
        server = fitting_server(settings)
        with server_client(settings) as client:
            problems += _pool_problems(client, deployments)
    except InputError as error:
        problems += error.problems
    if problems or server is None:
        raise InputError(*problems)
    return server, deployments


def _pools(deployments: Sequence[Deployment]) -> list[str]:
    """Ours, as far as they are used."""
    used = {deployment.pool for deployment in deployments}
    return [name for name in (CPU_POOL, GPU_POOL) if name in used]


def _pool_problems(client: "SyncPrefectClient", deployments: Sequence[Deployment]) -> Iterator[str]:
    known = list(dict.fromkeys([CPU_POOL, GPU_POOL, *(str(pool.name) for pool in client.read_work_pools())]))
    for deployment in deployments:
        found = pool_type(client, deployment.pool)
        if deployment.pool not in known:
            yield unknown_pool(deployment, known)
        elif found not in (None, POOL_TYPE):
            yield (
                f"{FILE}: deployment {deployment.name}: work pool '{deployment.pool}' is of type '{found}' on the "
                f"server, and our workers start processes: name another, or delete it there"
            )


def _make_pool(client: "SyncPrefectClient", name: str) -> bool:
    """Whether it had to be made."""
    from prefect.client.schemas.actions import WorkPoolCreate

    if pool_type(client, name):
        return False
    client.create_work_pool(WorkPoolCreate(name=name, type=POOL_TYPE))
    return True


def _make_deployments(settings: Settings) -> None:
    prefect = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", FILE]
    done = subprocess.run(prefect, cwd=settings.root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = [line.rstrip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise WorkFailed("`prefect deploy --all` failed:\n" + "\n".join(f"    {line}" for line in said[-_TAIL:]))


def _present(client: "SyncPrefectClient", deployment: Deployment) -> "DeploymentResponse":
    """What the server has of it now."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment.name]))
    (found,) = (d for d in client.read_deployments(deployment_filter=named) if d.entrypoint == deployment.entrypoint)
    return found


def _deployed(
    client: "SyncPrefectClient", settings: Settings, deployment: Deployment, found: "DeploymentResponse"
) -> Deployed:
    """What the server has, in words; waits until a schedule that is not far ahead has its first run."""
    flow = client.read_flow(found.flow_id)
    soon = [date for date in deployment.next_runs if date - datetime.now(date.tzinfo) < _HORIZON]
    next_run = None
    if soon and not found.paused:
        next_run = _first_run(client, found.id)
        if next_run is None:
            raise WorkFailed(
                f"deployment {flow.name}/{found.name} is there, but the scheduler of {shown_api(settings)} made "
                f"no run of it in {SCHEDULER_SECONDS} s: read the server's log; its fastapi and SQLAlchemy must have "
                "the versions of constraints.txt, others schedule nothing"
            )
    schedules = tuple(_words(schedule.schedule) for schedule in found.schedules if schedule.active)
    return Deployed(name=f"{flow.name}/{found.name}", pool=deployment.pool, schedules=schedules, next_run=next_run)


def _first_run(client: "SyncPrefectClient", deployment_id: Any) -> str | None:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    here = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    waiting = FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}})
    deadline = time.monotonic() + SCHEDULER_SECONDS
    while time.monotonic() < deadline:
        runs = client.read_flow_runs(
            deployment_filter=here,
            flow_run_filter=waiting,
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=1,
        )
        for run in runs:
            if run.expected_start_time:
                return run.expected_start_time.strftime("%Y-%m-%dT%H:%M:%SZ")
        time.sleep(1)
    return None


def _words(schedule: Any) -> str:
    """A schedule as people write it: its cron line, interval or rule, and its time zone."""
    rule = next(getattr(schedule, kind) for kind in ("cron", "interval", "rrule") if hasattr(schedule, kind))
    return f"{rule} {schedule.timezone}" if schedule.timezone else str(rule)


def _show_watches(settings: Settings, names: Sequence[str]) -> None:
    if not names:
        return
    told = "tell notify_url" if settings.notify_url.get_secret_value() else "rest: set notify_url and deploy again"
    results().print()
    results().print(Text.assemble(("Automations ", "bold"), f"for nights that failed, are late or missed {told}"))


def _show(server: PrefectServer, deployments: Sequence[Deployed], next_commands: Sequence[str]) -> None:
    console = results()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in ("deployment", "work pool", "schedule", "next run (UTC)"):
        table.add_column(column)
    for deployed in deployments:
        table.add_row(
            Text(deployed.name, style="bold"),
            deployed.pool,
            Text("\n".join(deployed.schedules) or "when asked for"),
            Text((deployed.next_run or "").replace("T", " ").rstrip("Z")),
        )
    console.print(table)
    console.print(Text(f"on {server.url}, Prefect {server.version}", style="dim"), soft_wrap=True)
    if warning := server.lease_warning():
        notices().print(Text.assemble(("warning: ", "yellow"), warning), soft_wrap=True)
    console.print()
    console.print(Text("Start the workers", style="bold"))
    purposes = ("for the nightly flow", "for trainings: one a GPU, on its machine")
    for line, what in zip(next_commands, purposes, strict=True):
        console.print(Text.assemble("  ", (f"{line:<32}", "cyan"), (what, "dim")), soft_wrap=True)

"""The graph of a flow run, as Prefect knows it: which task runs each of its task runs got something from."""

import time
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import temporary_settings


@dataclass(frozen=True, kw_only=True)
class Node:
    """One task run."""

    name: str
    state: str
    """The state's name."""
    inputs: tuple[str, ...]
    """Names of the task runs that it got something from, by its own arguments."""


def newest_graph(url: str, flow: str, count: int) -> list[Node]:
    """The task runs of a flow's newest run, in the order in which they began; there must be `count` of them.

    What the page draws must be the same edges.
    """
    with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=[flow]))
        (run,) = client.read_flow_runs(flow_filter=named, sort=FlowRunSort.START_TIME_DESC, limit=1)
        found = {task.id: task for task in _finished(client, run.id, count)}
        drawn = client.request("GET", "/flow_runs/{id}/graph-v2", path_params={"id": run.id}).json()["nodes"]
    inputs = {
        task.id: {got.id for arguments in task.task_inputs.values() for got in arguments} for task in found.values()
    }
    assert {UUID(key): {UUID(parent["id"]) for parent in node["parents"]} for key, node in drawn} == inputs
    return [
        Node(name=task.name, state=str(task.state_name), inputs=tuple(sorted(found[it].name for it in inputs[task.id])))
        for task in sorted(found.values(), key=lambda task: str(task.start_time or task.created))
    ]


def _finished(client: SyncPrefectClient, run: UUID, count: int) -> list[TaskRun]:
    """Prefect writes task runs down a little later."""
    found: list[TaskRun] = []
    for _ in range(150):
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])), limit=200)
        if len(found) == count and all(task.state and task.state.is_final() for task in found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{[(task.name, task.state_name) for task in found]}: {count} finished task runs expected")

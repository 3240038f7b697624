"""Flow runs whose process was killed, or whose machine was: Prefect hears nothing of that, and shows them as running.

Of a run on a worker its worker tells how it ends, and the server where the worker is gone as well: with heartbeats, and
only while it runs itself (flows/workers/deploy.py). What both missed is found here, by the machine's next command or
worker.
"""

from typing import TYPE_CHECKING

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.states import Crashed, StateType

from flows.server.run_labels import write_labels
from tasks.files.process import is_over, this_boot, this_process, was_rebooted

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_LABEL = "conceptbooth.process."


def sign_run() -> None:
    """Write this process on the present flow run."""
    write_labels({f"{_LABEL}{name}": value for name, value in {**this_process(), **this_boot()}.items()})


def end_lost_runs(client: "SyncPrefectClient") -> None:
    """Set running flow runs to Crashed that a process has signed which is no more, as can be told on this machine."""
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    for run in client.read_flow_runs(flow_run_filter=running):
        process = {key.removeprefix(_LABEL): value for key, value in run.labels.items() if key.startswith(_LABEL)}
        if was_rebooted(process) or is_over(process):
            said = f"Process {process['pid']} is no more and has not said why; what it had finished is kept."
            client.set_flow_run_state(run.id, Crashed(message=said), force=True)

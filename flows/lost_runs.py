"""Flow runs whose process was killed: Prefect hears nothing of that, and would show them as running for ever.

Runs on workers are not among them: their worker tells how they end.
"""

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.states import Crashed, StateType

from tasks.process import is_over, this_process

_LABEL = "conceptbooth.process."


def sign_run() -> None:
    """Write this process on the present flow run."""
    labels = {f"{_LABEL}{name}": value for name, value in this_process().items()}
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(runtime.flow_run.id, labels)


def end_lost_runs() -> None:
    """Set running flow runs to Crashed that a process of this machine has signed which is no more."""
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            process = {key.removeprefix(_LABEL): value for key, value in run.labels.items() if key.startswith(_LABEL)}
            if is_over(process):
                said = f"Process {process['pid']} is no more and has not said why; what it had finished is kept."
                client.set_flow_run_state(run.id, Crashed(message=said), force=True)

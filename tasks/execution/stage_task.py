"""How Prefect runs a stage: under our own key, tried again while the world fails, fed by the tasks before it.

A task takes what the tasks of the stages that it reads have returned. That is how it finds their artefacts, and how
Prefect knows the graph: it draws an edge for each argument that another task run has returned, cached or not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import Task, task
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from tasks.execution.caching import keep
from tasks.execution.stage_context import Make, Receipt, StageContext
from tasks.jobs.keys import StagePlan


def cache_key(_context: Any, parameters: Mapping[str, Any]) -> str:
    """Prefect's key of a stage: our own. What the task takes beside the plan is in that key already."""
    plan: StagePlan = parameters["plan"]
    return f"{plan.stage}/{plan.key}"


def is_tried_again(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a failed task is worth another try: the world failed (`retryable`), not the code. Says so, and when."""
    error = state.result(raise_on_failure=False)
    run = TaskRunContext.get()
    if run is None or not getattr(error, "retryable", False):
        return False
    seconds = task.retry_delay_seconds[task_run.run_count - 1]
    counted = f"{task_run.run_count + 1} of {task.retries + 1}"
    run.parameters["context"].warn(f"{error.said}; trying again in {seconds:g} s ({counted})")
    return True


TASK: dict[str, Any] = {
    "cache_key_fn": cache_key,
    "persist_result": True,
    "result_serializer": "json",
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_condition_fn": is_tried_again,
}
"""The options of every task that leaves something."""


def stage_task(kind: str, make: Make) -> Task[..., Receipt]:
    """The Prefect task of a kind of stage: takes the artefact from the store, or lets `make` make it.

    It is called with the stage's plan, the job's context, and what the tasks of the stages before it returned; and
    with `thorough` where an artefact that is there has to be read by every byte before it counts as whole.
    """

    def run(plan: StagePlan, context: StageContext, inputs: Sequence[Receipt], *, thorough: bool = False) -> Receipt:
        return keep(plan, context, inputs, make, thorough=thorough)

    run.__name__ = run.__qualname__ = kind  # Prefect tells tasks apart by it
    run.__doc__ = make.__doc__  # shown on its pages
    return task(name=kind, task_run_name="{plan.stage}", **TASK)(run)

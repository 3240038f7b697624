"""A concept's stages made from scratch by today's code, in a place of their own: what was made before is not read."""

from flows.training.stage_runs import task_of
from tasks.execution.reporting import Reporter
from tasks.execution.stage_context import Receipt, StageContext
from tasks.jobs.jobs import Job
from tasks.store.manifest import Manifest
from tasks.store.store import Store


def make_from_scratch(job: Job, reporter: Reporter) -> tuple[Store, dict[str, Manifest]]:
    """Make all stages of a job into the store of its settings, which is empty or left by a call that was killed.

    Nothing is registered, and Prefect is not asked: what it remembers was made before.

    Raises:
        WorkFailed: a stage failed; what was finished is kept there.
    """
    context = StageContext(job, reporter)
    context.store.probe()
    receipts: dict[str, Receipt] = {}
    for plan in job.stages:
        inputs = [receipts[stage] for stage in plan.reads if stage in receipts]
        receipts[plan.stage] = task_of(plan.kind).fn(plan, context, inputs)
    return context.store, context.read(list(receipts.values()))

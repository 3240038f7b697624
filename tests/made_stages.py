"""The stages of a job, made one by one as the flow makes them, without Prefect."""

from flows.training.stage_runs import task_of
from tasks.execution.reporting import Reporter, Silence
from tasks.execution.stage_context import Receipt, StageContext
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import KINDS
from tasks.store.manifest import Manifest

TASKS = {kind: task_of(kind) for kind in KINDS}


class MadeStages:
    """A job and what its stages have left so far."""

    def __init__(self, job: Job, reporter: Reporter | None = None) -> None:
        self.job, self.reporter = job, reporter or Silence()
        self.context = StageContext(job, self.reporter)
        self.store = self.context.store
        self.manifests: dict[str, Manifest] = {}
        """By stage."""
        self._receipts: dict[str, Receipt] = {}

    def run(self, *stages: str) -> list[Receipt]:
        """Make stages of the job, all by default."""
        return [self.make(plan) for plan in self.job.stages if not stages or plan.stage in stages]

    def make(self, plan: StagePlan) -> Receipt:
        """Make one stage from those that were made before."""
        inputs = [self._receipts[stage] for stage in plan.reads if stage in self._receipts]
        self._receipts[plan.stage] = receipt = TASKS[plan.kind].fn(plan, self.context, inputs)
        self.manifests |= self.context.read([receipt])
        return receipt

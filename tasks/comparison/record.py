"""A comparison in MLflow: a parent run with table, plane and sheets, a child run for each training."""

from collections.abc import Mapping
from pathlib import Path

from tasks.comparison.choice import ComparedTraining
from tasks.comparison.table import MethodTable
from tasks.jobs.jobs import Job
from tasks.project.settings import Settings
from tasks.registry.run_facts import PARENT_TAG
from tasks.registry.training_facts import with_interval
from tasks.tracking.client import connect, experiment_id, sorted_failures

EXPERIMENT = "compare"
_CONTENT_TAG = "conceptbooth.comparison"


def record_comparison(
    settings: Settings, table: MethodTable, jobs: Mapping[ComparedTraining, Job], folder: Path
) -> str:
    """Write the runs, unless a comparison of the same content has them; returns the parent's id.

    `folder` is named by the content's digest.

    Raises:
        TrackingUnreachable, MlflowRefused, InputError: MLflow does not take them.
    """
    client = connect(settings)
    with sorted_failures(settings):
        experiment = experiment_id(client, settings, EXPERIMENT)
        same = f"tags.`{_CONTENT_TAG}` = '{folder.name}' and attributes.status = 'FINISHED'"
        for run in client.search_runs([experiment], same, max_results=1):
            return str(run.info.run_id)
        tags = {
            "mlflow.source.name": "conceptbooth compare",
            "mlflow.note.content": table.to_markdown(),
            _CONTENT_TAG: folder.name,
        }
        parent = client.create_run(experiment, tags=tags, run_name=" ".join(table.concepts)).info.run_id
        client.log_param(parent, "methods", ", ".join(table.methods))
        client.log_param(parent, "concepts", ", ".join(table.concepts))
        client.log_param(parent, "seeds", ", ".join(map(str, table.seeds)))
        client.log_param(parent, "prompts", len(table.prompts))
        for method in table.methods:
            for score in table.scores:
                name = f"{_metric_name(method)}/{score}"
                for figure, value in with_interval(name, vars(table.mean(method, score))).items():
                    client.log_metric(parent, figure, value)
        for cell in table.cells:
            job = jobs[ComparedTraining(cell.concept, cell.method, cell.seed)]
            stages = {f"conceptbooth.stage.{plan.stage}": plan.key for plan in job.stages}
            facts = {
                "concept": cell.concept,
                "method": cell.method,
                "seed": str(cell.seed),
                "weights_sha256": cell.weights,
            }
            child = client.create_run(
                experiment,
                tags={PARENT_TAG: parent, **{f"conceptbooth.{name}": value for name, value in facts.items()}, **stages},
                run_name=f"{cell.concept} {cell.method} {cell.seed}",
            ).info.run_id
            for score in cell.values:
                client.log_metric(child, score, cell.mean(score))
            client.set_terminated(child)
        client.log_artifacts(parent, str(folder))
        client.set_terminated(parent)
    return str(parent)


def _metric_name(method: str) -> str:
    """A method's label in the letters that MLflow takes everywhere; it knows no plus, and a colon not on Windows."""
    return method.replace("+", "_and_").replace(":", ".")

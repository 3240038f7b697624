"""The commands of machines that work together."""

from typing import Annotated

from typer import BadParameter, Option

from flows.cli.panel import AsJson, Panel, project

panel = Panel("On a Prefect server")


@panel.command("deploy", "deploy --json")
def deploy(as_json: AsJson = False) -> None:
    """Check prefect.yaml, then make its work pools and deployments on the Prefect server.

    Run it again after every change of the file; what is there already is brought up to date.
    """
    from flows.workers.deploy import run_deploy

    run_deploy(project(), as_json=as_json)


@panel.command("worker --gpu 0", "worker --gpu GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "worker --cpu")
def worker(
    gpu: Annotated[str | None, Option(help="Train on this GPU: its number or UUID; 0,1 for `processes = 2`.")] = None,
    cpu: Annotated[bool, Option("--cpu", help="Run the nightly flow, which needs no GPU itself.")] = False,
    pool: Annotated[str | None, Option(help="Another work pool than `gpu` or `cpu`.")] = None,
) -> None:
    """Become a Prefect worker of this project, until it is stopped.

    Its name is the machine's and the GPU's; the environment variable WORKER_ID gives another.
    """
    if (gpu is None) != cpu:
        raise BadParameter("say either --gpu N or --cpu")
    from flows.workers.worker import run_worker

    run_worker(project(), gpu=gpu, pool=pool)

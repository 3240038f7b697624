"""`conceptbooth worker`: become a Prefect worker for one GPU, or for what needs none."""

import os
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from rich.text import Text

from flows.output.console import notices
from flows.server.gpu_slot import WORKER_VARIABLE, slot_name
from flows.server.shared_server import fitting_server, server_client
from model.errors import InputError
from model.runtime.device import left_to_the_machine, missing_gpu
from tasks.project.params import load_params
from tasks.project.settings import PREFIX, Settings, shown_api
from tasks.signing.keys import key_problems

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CPU_POOL, GPU_POOL = "cpu", "gpu"
POOL_TYPE = "process"
HEARTBEAT_SECONDS = 30
"""How often a flow run says that it lives; Prefect allows no shorter time."""
_GPU = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")


def run_worker(settings: Settings, *, gpu: str | None, pool: str | None = None) -> NoReturn:
    """Become `prefect worker start`: with a GPU, for the trainings on it; without, for the nightly flow.

    Runs that went down with this machine are ended before.

    Raises:
        InputError: no such GPU, settings that another machine would read otherwise, no Prefect server or one of another
            version, an unknown work pool; all problems together.
    """
    from flows.server.lost_runs import end_lost_runs

    problems: list[str] = []
    worker_id = _worker_id(gpu)
    variables = {f"{PREFIX}ROOT": str(settings.root), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
    arguments = ["--pool", pool or (CPU_POOL if gpu is None else GPU_POOL), "--type", POOL_TYPE, "--name", worker_id]
    if settings.signing_key is not None:
        said = "signing_key is set here: the release key has no business on a worker; training_key is a worker's own"
        notices().print(Text(said, style="yellow"), soft_wrap=True)
    if gpu is not None:
        problems += _gpu_problems(settings, gpu)
        problems += key_problems(settings, "trainings")
        variables |= {WORKER_VARIABLE: worker_id, "CUDA_VISIBLE_DEVICES": gpu}
        arguments += ["--limit", "1"]
    try:
        fitting_server(settings)
        with server_client(settings) as client:
            problems += _pool_problems(client, settings, arguments[1])
            if not problems:
                if gpu is not None:
                    client.upsert_global_concurrency_limit_by_name(slot_name(worker_id), 1)
                end_lost_runs(client)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*problems)
    environment = {name: value for name, value in os.environ.items() if name != WORKER_VARIABLE}
    # A shell starts what it puts into the background deaf to SIGINT, by which Prefect's worker ends itself on SIGTERM.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # No shell and no child: signals of a supervisor reach the worker itself.
    os.execve(sys.executable, [sys.executable, "-m", "prefect", "worker", "start", *arguments], environment | variables)


def pool_type(client: "SyncPrefectClient", name: str) -> str | None:
    """The type of a work pool on the server; None if there is no such pool."""
    from prefect.exceptions import ObjectNotFound

    try:
        return str(client.read_work_pool(name).type)
    except ObjectNotFound:
        return None


def _worker_id(gpu: str | None) -> str:
    """Its name, and that of its GPU's slot: WORKER_ID, for machines whose host name changes, or host name and GPU."""
    host = re.sub("[^A-Za-z0-9-]+", "-", socket.gethostname())
    if gpu is None:
        return f"{host}-cpu"
    return os.environ.get(WORKER_VARIABLE) or f"{host}-gpu{gpu.replace(',', '-')}"


def _gpu_problems(settings: Settings, gpu: str) -> list[str]:
    names, wanted = gpu.split(","), settings.processes
    if not all(_GPU.fullmatch(name) for name in names):
        return [f"--gpu {gpu}: a GPU is named by its number or UUID, as `nvidia-smi -L` lists them"]
    if len(set(names)) != wanted:
        return [f"--gpu {gpu}: a worker needs one GPU for each process of a training (setting processes = {wanted})"]
    try:
        problems = left_to_the_machine(settings.device, load_params(settings.params_file).dtype)
    except InputError as error:
        problems = list(error.problems)
    missing = [missing_gpu(name) for name in names] if settings.device == "cuda" else []
    return problems + [problem for problem in missing if problem]


def _pool_problems(client: "SyncPrefectClient", settings: Settings, pool: str) -> list[str]:
    found = pool_type(client, pool)
    if found is None:
        return [f"work pool '{pool}' is unknown at {shown_api(settings)}: run `conceptbooth deploy` first"]
    if found != POOL_TYPE:
        return [f"work pool '{pool}' is of type '{found}', and these workers start processes: type '{POOL_TYPE}'"]
    return []

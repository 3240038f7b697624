"""Every stage runs this way: what the store has is taken, what it lacks is made and published under the stage's key.

Prefect's cache lies on top, with the same key, and only saves the asking; the flow checks its hits against the store.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from model.errors import WorldFailed
from model.runtime.device import device_words
from model.runtime.disk import to_disk
from tasks.execution.manifest_facts import image_facts, stated_facts
from tasks.execution.reporting import Reporter
from tasks.execution.work_folders import FILES, FINISHED, KEPT, lock_of, work_folder
from tasks.files.locks import file_lock
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.jobs.models import model_facts
from tasks.project.git import git_facts
from tasks.store.manifest import Facts, Input, Manifest
from tasks.store.store import DISK_FULL, Damaged, open_store

Metrics = Mapping[str, float | Sequence[float]]
"""Figures of the work that differ from run to run or are found in its files too; part of the manifest alone."""


class Bench:
    """What a stage works with. No dataclass, so that Prefect hands it on untouched instead of looking inside."""

    def __init__(self, job: Job, reporter: Reporter) -> None:
        self.job = job
        self.reporter = reporter
        self.store = open_store(job.settings)
        self.manifests: dict[str, Manifest] = {}
        """Of the stages that are done, by name."""
        self.doubtful: set[str] = set()
        """Stages whose artefacts are read by every byte before they count as whole, also where that costs transfers."""

    def warn(self, message: str) -> None:
        """Tell the person at the terminal, and the log of the run in Prefect."""
        self.reporter.warn(message)
        if FlowRunContext.get() or TaskRunContext.get():
            get_run_logger().warning("%s", message)

    @contextmanager
    def progress(self, plan: StagePlan, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """Inside, the stage works on `total` of what `unit` names; it tells what this yields how many are finished."""
        self.reporter.begin(f"{self.job.concept.name} {plan.stage}", total, unit)
        try:
            yield self.reporter.advance
        finally:
            self.reporter.end()


def cache_key(context: Any, parameters: Mapping[str, Any]) -> str:
    """Prefect's key of a stage: our own."""
    plan: StagePlan = parameters["plan"]
    return f"{plan.stage}/{plan.key}"


def is_tried_again(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a failed task is worth another try: the world failed (`retryable`), not the code. Says so, and when."""
    error = state.result(raise_on_failure=False)
    context = TaskRunContext.get()
    if context is None or not getattr(error, "retryable", False):
        return False
    seconds = task.retry_delay_seconds[task_run.run_count - 1]
    counted = f"{task_run.run_count + 1} of {task.retries + 1}"
    context.parameters["bench"].warn(f"{error.said}; trying again in {seconds:g} s ({counted})")
    return True


TASK: dict[str, Any] = {
    "cache_key_fn": cache_key,
    "persist_result": True,
    "result_serializer": "json",
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_condition_fn": is_tried_again,
}
"""How Prefect runs a stage."""


def keep(bench: Bench, plan: StagePlan, work: Callable[[Path], Metrics]) -> dict[str, Any]:
    """Take the stage's artefact from the store, or let `work` write its files into a folder and publish them.

    `work` returns figures for the manifest. Two processes, on any machines, never make the same artefact at once. Work
    that is finished and could not be published is kept, and published by the next try or the next command; of work
    that was stopped or failed, what it has put into `tasks.execution.work_folders.kept_folder` is kept.

    Returns what Prefect keeps: stage, key, digest of the files, and whether it was made now.

    Raises:
        StoreFailed: the store cannot be read or written.
        Damaged: something that this stage reads is not as it was; that other stage has to run again.
    """
    folder, thorough = work_folder(bench.job.settings, plan), plan.stage in bench.doubtful

    def waiting() -> None:
        bench.warn(f"{plan.stage} of '{bench.job.concept.name}' is being made by another process: waiting for it")

    with suppress(Damaged):  # said below, where it is made again
        if not folder.exists() and (manifest := bench.store.find_checked(plan.stage, plan.key, thorough=thorough)):
            return _receipt(manifest, made=False)
    # The folder has a lock of its own: it is of this machine, and stays ours should the store's hold be lost.
    with (
        bench.store.alone(plan.stage, plan.key, waiting) as hold,
        file_lock(lock_of(folder), waiting, remove=True),
    ):
        manifest = _present(bench, plan, thorough)
        if manifest is not None:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed once it had published
            return _receipt(manifest, made=False)
        if not (folder / FINISHED).exists():
            _work(folder, plan, work)
        outcome = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        facts = _facts(bench, plan, folder / FILES, **outcome)
        manifest = bench.store.publish(folder / FILES, facts, thorough=thorough)
        shutil.rmtree(folder)
        if hold.lost():
            bench.warn(
                f"{plan.stage} of '{bench.job.concept.name}': the store has not heard of this process for a while, so "
                "another may have made it too; what was published first counts"
            )
        return _receipt(manifest, made=True)


def _present(bench: Bench, plan: StagePlan, thorough: bool) -> Manifest | None:
    try:
        return bench.store.find_checked(plan.stage, plan.key, thorough=thorough)
    except Damaged as damage:
        bench.warn(f"damaged in the store, so it is made again: {damage}")
        return None


def _work(folder: Path, plan: StagePlan, work: Callable[[Path], Metrics]) -> None:
    """Run `work` in an empty folder; `finished.json` appears last."""
    started = time.monotonic()
    files, unfinished = folder / FILES, folder / f"{FINISHED}.part"
    try:
        shutil.rmtree(files, ignore_errors=True)  # of a process that was killed
        files.mkdir(parents=True)
        metrics = work(files)
        outcome = {"wall_seconds": round(time.monotonic() - started, 3), "metrics": dict(metrics)}
        unfinished.write_text(json.dumps(outcome), encoding="utf-8")
        for path in (*files.rglob("*"), unfinished):  # before it is said to be finished, should the power fail
            to_disk(path)
        unfinished.rename(folder / FINISHED)
        to_disk(folder)
        shutil.rmtree(folder / KEPT, ignore_errors=True)
    except BaseException as error:
        if not (folder / FINISHED).exists():
            shutil.rmtree(files, ignore_errors=True)
            unfinished.unlink(missing_ok=True)
            with suppress(OSError):  # it holds something to go on from
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            said = f"{plan.stage}: {folder.parent}: {error.strerror}; make room there and run the same command again"
            raise WorldFailed(said) from error
        raise


def _facts(bench: Bench, plan: StagePlan, folder: Path, wall_seconds: float, metrics: Metrics) -> Facts:
    job = bench.job
    models = job.recipe.models
    inputs = [Input(kind=kind, key=key, digest=_digest_read(bench, kind, key)) for kind, key in plan.reads.items()]
    inputs += [Input(kind=kind, key=models[kind].digest, digest=models[kind].digest) for kind in plan.models]
    return Facts(
        stage=plan.stage,
        key=plan.key,
        inputs=tuple(inputs),
        parameters=plan.parameters,
        code=plan.code,
        packages=plan.packages,
        seed=plan.seed,
        numeric_policy=plan.numeric_policy,
        device=device_words(plan.numeric_policy.get("device", "cpu")),
        wall_seconds=wall_seconds,
        metrics=metrics,
        base=model_facts(job.recipe.base, job.recipe.params.base_licence) if "base" in plan.models else None,
        evaluator=model_facts(models["evaluator"]) if "evaluator" in plan.models else None,
        identity_model=model_facts(models["identity_model"]) if "identity_model" in plan.models else None,
        git=_git_facts(job),
        labels=job.labels,
        stated=stated_facts(job.concept),
        images=image_facts(folder, job.images.files),
    )


def _git_facts(job: Job) -> dict[str, Any] | None:
    """The project's commit; dirty also where that does not record the images, which git itself does not see."""
    git = git_facts(job.settings.root)
    return git and git | {"dirty": git["dirty"] or job.images.dirty}


def _digest_read(bench: Bench, kind: str, key: str) -> str:
    """Digest of what was read: an earlier stage's files; an image set's key is its digest."""
    return bench.manifests[kind].digest() if kind in bench.manifests else key


def _receipt(manifest: Manifest, *, made: bool) -> dict[str, Any]:
    return {"stage": manifest.stage, "key": manifest.key, "digest": manifest.digest(), "made": made}

"""Every stage runs this way: what the store has is taken, what it lacks is made and published under the stage's key.

Prefect's cache lies on top, with the same key, and only saves the asking; the flow checks its hits against the store.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from model.errors import WorldFailed
from model.runtime.device import device_words
from model.runtime.disk import to_disk
from tasks.execution.manifest_facts import image_facts, made_by, stated_facts
from tasks.execution.stage_context import Make, Metrics, Receipt, StageContext
from tasks.execution.work_folders import FILES, FINISHED, KEPT, lock_of, work_folder
from tasks.files.locks import file_lock
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import KINDS, kind_name
from tasks.jobs.libraries import installed_versions
from tasks.jobs.models import model_facts
from tasks.project.git import git_facts
from tasks.store.folder_blobs import DISK_FULL
from tasks.store.manifest import Facts, Input, Manifest
from tasks.store.store import Damaged


def keep(
    plan: StagePlan, context: StageContext, inputs: Sequence[Receipt], make: Make, *, thorough: bool = False
) -> Receipt:
    """Take the stage's artefact from the store, or let `make` write its files into a folder and publish them.

    `inputs` are the receipts of the stages that it reads. With `thorough` an artefact that is there counts as whole
    only when every byte was read, also where that costs transfers.

    Two processes, on any machines, never make the same artefact at once. Work that is finished and could not be
    published is kept, and published by the next try or the next command; of work that was stopped or failed, what it
    has put into `tasks.execution.work_folders.kept_folder` is kept.

    Raises:
        StoreFailed: the store cannot be read or written.
        Damaged: something that this stage reads is not as it was; that other stage has to run again.
    """
    folder = work_folder(context.job.settings, plan)

    def waiting() -> None:
        context.warn(f"{plan.stage} of '{context.job.concept.name}' is being made by another process: waiting for it")

    with suppress(Damaged):  # said below, where it is made again
        if not folder.exists() and (manifest := context.store.find_checked(plan.stage, plan.key, thorough=thorough)):
            return _receipt(plan, manifest, made=False)
    # The folder has a lock of its own: it is of this machine, and stays ours should the store's hold be lost.
    with (
        context.store.alone(plan.stage, plan.key, waiting) as hold,
        file_lock(lock_of(folder), waiting, remove=True),
    ):
        manifest = _present(context, plan, thorough)
        if manifest is not None:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed once it had published
            return _receipt(plan, manifest, made=False)
        read = _read(context, plan, inputs)
        if plan.kind != "gallery":  # that is drawn again where nothing is trained
            context.journal.begin()
        if not (folder / FINISHED).exists():
            _work(folder, plan, lambda files: make(plan, context, read, files))
        outcome = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        facts = _facts(context, plan, read, folder / FILES, **outcome)
        manifest = context.store.publish(folder / FILES, facts, thorough=thorough)
        shutil.rmtree(folder)
        if hold.lost():
            context.warn(
                f"{plan.stage} of '{context.job.concept.name}': the store has not heard of this process for a while, "
                "so another may have made it too; what was published first counts"
            )
        return _receipt(plan, manifest, made=True)


def _present(context: StageContext, plan: StagePlan, thorough: bool) -> Manifest | None:
    try:
        return context.store.find_checked(plan.stage, plan.key, thorough=thorough)
    except Damaged as damage:
        context.warn(f"damaged in the store, so it is made again: {damage}")
        return None


def _read(context: StageContext, plan: StagePlan, inputs: Sequence[Receipt]) -> dict[str, Manifest]:
    """The manifests of what the stage reads, by stage; they must be just those that its key was made from."""
    given = {receipt["stage"]: receipt["key"] for receipt in inputs}
    if given != (planned := {stage: key for stage, key in plan.reads.items() if kind_name(stage) in KINDS}):
        raise ValueError(f"{plan.stage} is planned to read {planned}, and was given {given}")
    return context.read(inputs)


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


def _facts(
    context: StageContext,
    plan: StagePlan,
    read: Mapping[str, Manifest],
    folder: Path,
    wall_seconds: float,
    metrics: Metrics,
) -> Facts:
    job = context.job
    models = job.recipe.models
    # an image set's key is its digest
    digests = {**plan.reads, **{stage: manifest.digest() for stage, manifest in read.items()}}
    inputs = [Input(kind=kind, key=key, digest=digests[kind]) for kind, key in plan.reads.items()]
    inputs += [Input(kind=kind, key=models[kind].digest, digest=models[kind].digest) for kind in plan.models]
    return Facts(
        stage=plan.stage,
        key=plan.key,
        inputs=tuple(inputs),
        parameters=plan.parameters,
        code=plan.code,
        packages=plan.packages,
        installed=installed_versions(plan.packages),
        made_by=made_by(job, plan),
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


def _receipt(plan: StagePlan, manifest: Manifest, *, made: bool) -> Receipt:
    return {"stage": plan.stage, "key": plan.key, "digest": manifest.digest(), "made": made}

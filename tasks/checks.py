"""What can only be checked by reading images and loading models, still before any work starts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from model.base_files import base_resolution
from model.errors import InputError
from tasks.image_sets import local_images
from tasks.images import inspect_images
from tasks.jobs import Job
from tasks.new_concept import FEWEST_PIXELS
from tasks.settings import Settings
from tasks.store import Damaged, Store, open_store
from tasks.taken_down import read_taken_down
from tasks.work_folders import sweep


def check_jobs(settings: Settings, jobs: Sequence[Job]) -> None:
    """Check the store, and images and words of the concepts that need a model; what is in the store has passed before.

    An image that was taken down is refused in any case.

    Raises:
        InputError: the store cannot be used; otherwise all problems of all concepts together.
    """
    store = open_store(settings)
    store.probe()
    sweep(settings, [plan for job in jobs for plan in job.stages])
    problems: list[str] = []
    taken = read_taken_down(store)
    for job in jobs:
        problems += taken.problems(job.concept.name, job.images)
        if all(_whole(store, plan.stage, plan.key) for plan in job.stages if plan.kind != "gallery"):
            continue
        try:
            check_job(job)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))


def _whole(store: Store, stage: str, key: str) -> bool:
    try:
        return store.find(stage, key) is not None
    except Damaged:
        return False


def check_job(job: Job) -> None:
    """Check that the images can be trained on, and that base and evaluator read the concept's words and all prompts.

    Raises:
        InputError: they cannot, or a model or the device is not there; all problems together.
    """
    problems: list[str] = []
    checks: tuple[Callable[[Job], None], ...] = (
        _check_images,
        _check_devices,
        _check_base_reads,
        _check_evaluator_reads,
    )
    for check in checks:
        try:
            check(job)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)


def _check_images(job: Job) -> None:
    folder = Path(job.recipe.base.location)
    fewest = min(FEWEST_PIXELS, base_resolution(folder)) if folder.is_dir() else FEWEST_PIXELS
    inspect_images(list(local_images(job.settings, job.concept, job.images).values()), fewest)


def _check_devices(job: Job) -> None:
    if job.recipe.processes > 1 and job.recipe.numeric_policy["device"] == "cuda":
        import torch

        if (found := torch.cuda.device_count()) < job.recipe.processes:
            raise InputError(
                f"setting processes = {job.recipe.processes}: each needs a GPU of its own, and {found} can be seen "
                "here (CUDA_VISIBLE_DEVICES, or `conceptbooth worker --gpu 0,1`)"
            )


def _check_base_reads(job: Job) -> None:
    from model.tokens import check_concept
    from tasks.loaded_base import open_base

    check_concept(open_base(job).tokenizer, job.recipe.prompt, job.recipe.prompts)


def _check_evaluator_reads(job: Job) -> None:
    from tasks.loaded_evaluator import open_evaluator, open_identity_model

    open_identity_model(job)
    open_evaluator(job).embed_text([job.recipe.prompt.without_placeholder(text) for text in job.recipe.prompts])

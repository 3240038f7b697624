"""What can only be checked by reading images and loading models, still before any work starts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from model.errors import InputError, SetupError
from tasks.concepts.image_checks import inspect_images, pictures_among
from tasks.concepts.image_sets import local_images
from tasks.concepts.takedown_memory import current_takedowns
from tasks.concepts.takedown_records import Takedowns
from tasks.execution.work_folders import sweep_work_folders
from tasks.jobs.jobs import Job
from tasks.project.base_limits import base_folder, check_short_side, fewest_pixels
from tasks.project.settings import Settings
from tasks.signing.keys import key_problems
from tasks.store.store import Damaged, Store, open_store
from tasks.tracking.client import TrackingUnreachable


def check_jobs(settings: Settings, jobs: Sequence[Job]) -> None:
    """Check images and words of the concepts that need a model; what is in the store has passed before.

    Probe the store before: this only reads it, and raises StoreFailed where that fails.
    An image that was taken down is refused in any case.

    Raises:
        InputError: all problems of all concepts together; a SetupError where a model or the device is not there.
    """
    if problems := key_problems(settings, "trainings"):  # it signs what is made, at the very end
        raise SetupError(*problems)
    store = open_store(settings)
    sweep_work_folders(settings, [plan for job in jobs for plan in job.stages])
    taken = _takedowns(settings, store)
    needy = [job for job in jobs if not all(_whole(store, p.stage, p.key) for p in job.stages if p.kind != "gallery")]
    _together(
        [*(partial(_check_not_taken_down, taken, job) for job in jobs), *(partial(check_job, job) for job in needy)]
    )


def _whole(store: Store, stage: str, key: str) -> bool:
    try:
        return store.find(stage, key) is not None
    except Damaged:
        return False


def check_job(job: Job) -> None:
    """Check that the images can be trained on, and that base and evaluator read the concept's words and all prompts.

    Raises:
        InputError: they cannot; all problems together.
        SetupError: a model or the device is not there; with all problems too.
    """
    checks = _check_images, _check_devices, _check_base_reads, _check_evaluator_reads, _check_identity_model
    _together(partial(check, job) for check in checks)


def _together(checks: Iterable[Callable[[], None]]) -> None:
    """Make all checks, and raise one error with all their problems."""
    kind, problems = InputError, list[str]()
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += error.problems
            kind = SetupError if isinstance(error, SetupError) else kind
    if problems:
        raise kind(*dict.fromkeys(problems))


@contextmanager
def _setting_up() -> Iterator[None]:
    """What is wrong inside is no concept's fault."""
    try:
        yield
    except InputError as error:
        raise SetupError(*error.problems) from error


def _takedowns(settings: Settings, store: Store) -> Takedowns:
    try:
        return current_takedowns(settings, store)
    except TrackingUnreachable:  # a training need not wait for MLflow: the registration asks what it remembers
        return current_takedowns(settings, store, ask_registry=False)


def _check_not_taken_down(taken: Takedowns, job: Job) -> None:
    if problems := taken.problems(job.concept.name, job.images):
        raise InputError(*problems)


def _check_images(job: Job) -> None:
    images = pictures_among(local_images(job.settings, job.concept, job.images))
    inspect_images(list(images.values()), fewest_pixels(base_folder(job.settings, job.recipe.params)))


def _check_devices(job: Job) -> None:
    if job.recipe.processes > 1 and job.recipe.numeric_policy["device"] == "cuda":
        import torch

        if (found := torch.cuda.device_count()) < job.recipe.processes:
            raise SetupError(
                f"setting processes = {job.recipe.processes}: each needs a GPU of its own, and {found} can be seen "
                "here (CUDA_VISIBLE_DEVICES, or `conceptbooth worker --gpu 0,1`)"
            )


def _check_base_reads(job: Job) -> None:
    from model.bases.tokens import check_concept, rare_token_ids
    from tasks.execution.loaded_base import open_base

    recipe = job.recipe
    with _setting_up():
        base = open_base(recipe.base, job.settings.device)
        check_short_side(job.settings, recipe.params, base.resolution)  # of a base on the hub it is known only now
    if problems := [said for stage in recipe.method.stages for said in base.family.stage_problems(stage)]:
        raise InputError(*problems)
    check_concept(base.tokenizers, recipe.prompt, recipe.prompts)
    for stage in recipe.method.stages:
        if stage.starts_from == "rare_token":
            rare_token_ids(base.tokenizers, stage.rare_token, recipe.prompt)


def _check_evaluator_reads(job: Job) -> None:
    from tasks.execution.loaded_evaluator import open_evaluator

    with _setting_up():
        evaluator = open_evaluator(job.recipe.evaluator, job.settings.device)
    plain = [job.recipe.prompt.without_placeholder(text) for text in job.recipe.prompts]
    evaluator.embed_text([*plain, *job.recipe.scene_texts])


def _check_identity_model(job: Job) -> None:
    from tasks.execution.loaded_evaluator import open_identity_model

    with _setting_up():
        open_identity_model(job.recipe.identity_model, job.settings.device)

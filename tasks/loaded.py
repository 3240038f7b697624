"""Pretrained models in memory: loaded once for all stages and concepts that a process runs."""

from functools import lru_cache

from model.base import Base, load_base
from model.device import open_device
from model.errors import InputError
from model.metrics import ClipScorer
from model.tokens import check_concept
from tasks.jobs import Job


def open_base(job: Job) -> Base:
    """The job's base model on the device that the settings name."""
    base = job.recipe.base
    return _base(base.location, base.revision, base.digest, job.settings.device)


def open_evaluator(job: Job) -> ClipScorer:
    """The job's CLIP model on the device that the settings name."""
    evaluator = job.recipe.evaluator
    return _evaluator(evaluator.location, evaluator.revision, evaluator.digest, job.settings.device)


def check_words(job: Job) -> None:
    """Load both models, and check that they can read the concept's words and all prompts.

    Raises:
        InputError: they cannot, or a model or the device is not there; all problems together.
    """
    problems: list[str] = []
    prompt, prompts = job.recipe.prompt, job.recipe.prompts
    for check in (
        lambda: check_concept(open_base(job).tokenizer, prompt, prompts),
        lambda: open_evaluator(job).embed_text([prompt.without_placeholder(text) for text in prompts]),
    ):
        try:
            check()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _base(location: str, revision: str | None, digest: str, device: str) -> Base:
    return load_base(location, revision, device=open_device(device))


@lru_cache(maxsize=1)
def _evaluator(location: str, revision: str | None, digest: str, device: str) -> ClipScorer:
    return ClipScorer.load(location, revision, device=open_device(device))

"""The models that measure, in memory: each loaded once for all concepts that a process evaluates."""

from functools import lru_cache

from model.runtime.device import open_device
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from tasks.jobs.jobs import Job


def open_evaluator(job: Job) -> Evaluator:
    """The job's CLIP model on the device that the settings name. Raises InputError if either is not there."""
    evaluator = job.recipe.evaluator
    return _evaluator(evaluator.location, evaluator.revision, evaluator.digest, job.settings.device)


def open_identity_model(job: Job) -> IdentityModel | None:
    """The job's identity model, if it has one, likewise."""
    model = job.recipe.identity_model
    return _identity_model(model.location, model.revision, model.digest, job.settings.device) if model else None


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _evaluator(location: str, revision: str | None, digest: str, device: str) -> Evaluator:
    return Evaluator.load(location, revision, device=open_device(device))


@lru_cache(maxsize=1)
def _identity_model(location: str, revision: str | None, digest: str, device: str) -> IdentityModel:
    return IdentityModel.load(location, revision, device=open_device(device))

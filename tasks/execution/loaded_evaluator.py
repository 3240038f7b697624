"""The models that measure, in memory: each loaded once for all concepts that a process evaluates."""

from functools import lru_cache

from model.runtime.device import open_device
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from tasks.jobs.models import ModelIdentity


def open_evaluator(evaluator: ModelIdentity, device: str) -> Evaluator:
    """A CLIP model on a device as the settings name it. Raises InputError if either is not there."""
    return _evaluator(evaluator.location, evaluator.revision, evaluator.digest, device)


def open_identity_model(model: ModelIdentity | None, device: str) -> IdentityModel | None:
    """An identity model, likewise; None for none."""
    return _identity_model(model.location, model.revision, model.digest, device) if model else None


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _evaluator(location: str, revision: str | None, digest: str, device: str) -> Evaluator:
    return Evaluator.load(location, revision, device=open_device(device))


@lru_cache(maxsize=1)
def _identity_model(location: str, revision: str | None, digest: str, device: str) -> IdentityModel:
    return IdentityModel.load(location, revision, device=open_device(device))

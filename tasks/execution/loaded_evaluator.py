"""The models that measure, in memory: each loaded once for all concepts that a process evaluates."""

from functools import lru_cache

from model.runtime.device import open_device
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from tasks.jobs.models import ModelIdentity, check_files

_Files = tuple[tuple[str, str], ...]


def open_evaluator(evaluator: ModelIdentity, device: str) -> Evaluator:
    """A CLIP model on a device as the settings name it; of a folder each file was hashed in this process.

    Raises InputError if either is not there, or the folder holds another model than that of the plan.
    """
    return _evaluator(evaluator.location, evaluator.revision, tuple(evaluator.files.items()), evaluator.digest, device)


def open_identity_model(model: ModelIdentity | None, device: str) -> IdentityModel | None:
    """An identity model, likewise; None for none."""
    if model is None:
        return None
    return _identity_model(model.location, model.revision, tuple(model.files.items()), model.digest, device)


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _evaluator(location: str, revision: str | None, files: _Files, _digest: str, device: str) -> Evaluator:
    check_files("evaluator", location, files)
    return Evaluator.load(location, revision, device=open_device(device))


@lru_cache(maxsize=1)
def _identity_model(location: str, revision: str | None, files: _Files, _digest: str, device: str) -> IdentityModel:
    check_files("identity model", location, files)
    return IdentityModel.load(location, revision, device=open_device(device))

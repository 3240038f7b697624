"""The evaluator in memory: loaded once for all concepts that a process evaluates."""

from functools import lru_cache

from model.device import open_device
from model.metrics import ClipScorer
from tasks.jobs import Job


def open_evaluator(job: Job) -> ClipScorer:
    """The job's CLIP model on the device that the settings name. Raises InputError if either is not there."""
    evaluator = job.recipe.evaluator
    return _evaluator(evaluator.location, evaluator.revision, evaluator.digest, job.settings.device)


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _evaluator(location: str, revision: str | None, digest: str, device: str) -> ClipScorer:
    return ClipScorer.load(location, revision, device=open_device(device))

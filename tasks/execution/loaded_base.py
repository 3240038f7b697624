"""The base model in memory: loaded once for all stages and concepts that a process runs."""

from functools import lru_cache

from model.bases.base import Base, load_base
from model.runtime.device import open_device
from tasks.jobs.models import ModelIdentity, check_files


def open_base(base: ModelIdentity, device: str) -> Base:
    """A base model on a device as the settings name it; of a folder each file was hashed in this process.

    Raises InputError if either is not there, or the folder holds another base than that of the plan.
    """
    return _base(base.location, base.revision, tuple(base.files.items()), base.digest, device)


# The digest is an argument because a folder's files may change while a process lives.
@lru_cache(maxsize=1)
def _base(location: str, revision: str | None, files: tuple[tuple[str, str], ...], _digest: str, device: str) -> Base:
    check_files("base model", location, files)
    return load_base(location, revision, device=open_device(device))

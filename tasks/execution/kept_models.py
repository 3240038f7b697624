"""The pretrained models of a job, kept in the store: what becomes of their folders is then no matter."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tasks.jobs.jobs import Job
from tasks.store.models import keep_model
from tasks.store.store import Store


def keep_models(
    store: Store,
    job: Job,
    kinds: Iterable[str],
    *,
    thorough: bool = False,
    tell: Callable[[str], None] = lambda said: None,
) -> None:
    """Have the store hold the job's models of these kinds ("base", ...), as far as they lie in folders.

    Raises InputError where a folder has changed since the job was planned, StoreFailed.
    """
    for kind in kinds:
        model = job.recipe.models[kind]
        if model.files:
            folder, files = Path(model.location), model.files
            keep_model(store, kind, folder, files, reference=model.reference, thorough=thorough, tell=tell)

"""The sample concepts that come with the project: which of them have no images yet."""

from collections.abc import Iterable

from model.errors import InputError
from tasks.concepts.concepts import load_concept
from tasks.concepts.image_sets import ImagesMissing, image_set
from tasks.dvc.samples import is_sample
from tasks.project.settings import Settings


def unmade_samples(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the concepts that are samples whose images are not made: so it is in a fresh clone."""
    return [name for name in names if _is_unmade(settings, name)]


def _is_unmade(settings: Settings, name: str) -> bool:
    try:
        if is_sample(settings, name):
            image_set(settings, load_concept(settings, name))
    except ImagesMissing:
        return True
    except InputError:  # told by the plan, with everything else that is wrong
        return False
    return False

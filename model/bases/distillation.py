"""Bases that were distilled to draw in a few steps, told from their files: teaching them would undo that."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.families.known import family_of
from model.reading.documents import read_json

_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
_NAMES = re.compile(r"(?<![a-z])(turbo|lcm|lightning|hyper-?sd|flash|dmd2?|pcm)(?![a-z])", re.IGNORECASE)


def distilled(folder: Path) -> str | None:
    """What shows that the checked base in `folder` was distilled; None if nothing does."""
    index = _content(folder / "model_index.json")
    family = family_of(index)
    scheduler = _content(folder / "scheduler/scheduler_config.json")
    others = (index, _content(folder / family.denoiser.folder / "config.json"))
    if shown := family.distilled(scheduler):
        return shown
    if (kind := scheduler.get("_class_name")) in _SCHEDULERS:
        return f"its scheduler is a {kind}"
    for content in others:
        if isinstance(name := content.get("_name_or_path"), str) and _NAMES.search(name):
            return f"it was made as '{name[:80]}'"
    # Turbo's are trained at the ends of four even stretches. A base that is taught pure noise has the same spacing.
    trailing = scheduler.get("timestep_spacing") == "trailing" and not scheduler.get("rescale_betas_zero_snr")
    if trailing and str(kind).startswith("Euler") and scheduler.get("prediction_type", "epsilon") == "epsilon":
        return f"its {kind} has trailing timesteps, as turbo bases have"
    return None


def _content(file: Path) -> Mapping[str, Any]:
    try:
        found = read_json(file, file.name)
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}

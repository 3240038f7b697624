"""The families that there are, and which of them a pipeline's index names."""

from collections.abc import Mapping
from typing import Any

from model.families.family import Family
from model.families.klein import KLEIN
from model.families.stable_diffusion import STABLE_DIFFUSION, STABLE_DIFFUSION_XL
from model.families.z_image import Z_IMAGE

_JOINT: tuple[Family, ...] = (Z_IMAGE, KLEIN)
"""Those that have a transformer, which reads text and picture by joint attention."""
FAMILIES: tuple[Family, ...] = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL, *_JOINT)
NAMES = ", ".join(family.name for family in FAMILIES)


def family_of(index: Mapping[str, Any]) -> Family:
    """The family of a pipeline, by its model_index.json."""
    for family in _JOINT:
        if index.get("_class_name") == family.pipeline:
            return family
    return STABLE_DIFFUSION_XL if _holds(index, "text_encoder_2") else STABLE_DIFFUSION


def other_kind(index: Mapping[str, Any]) -> str | None:
    """Why a pipeline cannot be a base whatever its parts are, and the way out; None if it may be one."""
    kind, family = index.get("_class_name"), family_of(index)
    if family in _JOINT:
        return family.refused(index)
    if _holds(index, "transformer"):
        if any(str(kind).startswith(family.pipeline.removesuffix("Pipeline")) for family in _JOINT):
            return f"it is a {kind}, which draws from pictures beside text; name the base that draws from text alone"
        return (
            f"it is a {kind}, whose transformer ({index['transformer'][-1]}) reads text and picture by joint "
            "attention, as Stable Diffusion 3 and FLUX do; of such bases only "
            f"{' and '.join(family.name for family in _JOINT)} can be taught here: name one of {NAMES}"
        )
    only_the_second = _holds(index, "text_encoder_2") and not _holds(index, "text_encoder")
    if index.get("requires_aesthetics_score") or only_the_second:
        return (
            f"it is a {kind} with one text encoder of two and an aesthetic score, the refiner of Stable Diffusion XL; "
            f"it finishes what the XL base has begun, and draws nothing by itself; name one of {NAMES}"
        )
    return family.refused(index)


def _holds(index: Mapping[str, Any], part: str) -> bool:
    """Whether a pipeline's index names that part; what a pipeline does without stands there as [null, null]."""
    named = index.get(part)
    return isinstance(named, list) and any(named)

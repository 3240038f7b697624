"""What a base model's folder must hold, told from its files alone: no weights are read and no torch is imported."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.bases.base_configs import config_problems, shape_problems
from model.bases.families import FAMILIES, STABLE_DIFFUSION, STABLE_DIFFUSION_XL, Family
from model.bases.weight_files import TensorShape, weight_shapes
from model.errors import InputError
from model.reading.documents import read_json

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INDEX = "model_index.json"
_MOST_CONFIG_BYTES = 2**20
_FAMILIES = ", ".join(family.name for family in FAMILIES)


@dataclass(frozen=True)
class ModelSource:
    """Where a pretrained model comes from: a folder, or a hub repository at one commit."""

    reference: str
    """Folder path, or hub id `owner/name`."""
    revision: str | None
    """40-digit commit of a hub id; None for a folder."""

    @property
    def folder(self) -> Path | None:
        """The folder, or None for a hub id."""
        return Path(self.reference) if self.revision is None else None


def model_source(reference: str, revision: str | None = None, *, what: str = "base model") -> ModelSource:
    """Tell a folder from a hub id. InputError for a folder that is not there, or a hub id without a full commit."""
    if Path(reference).is_dir():
        if revision is not None:
            raise InputError(
                f"{what} '{reference}' is a folder: its revision '{revision}' has no meaning, leave it out"
            )
        return ModelSource(reference, None)
    if not _HUB_ID.fullmatch(reference):
        raise InputError(f"{what} '{reference}': no such folder, and no hub id of the form owner/name")
    if not _COMMIT.fullmatch(revision or ""):
        raise InputError(
            f"{what} '{reference}': no such folder, and as a hub id it needs a revision of 40 hex digits, not "
            f"{revision!r}; copy the newest commit from the model page's file history on the hub"
        )
    return ModelSource(reference, revision)


def check_base_folder(folder: Path, *, with_weights: bool = True) -> Family:
    """The family of the pipeline in `folder`; `with_weights` False looks at the configurations alone.

    Raises InputError, with all problems, unless it is one of `model.bases.families`, in safetensors.
    """
    if not (folder / _INDEX).exists() and not any((folder / part).is_dir() for part in STABLE_DIFFUSION.models):
        raise InputError(
            f"base model '{folder}': no diffusers pipeline folder (it has no {_INDEX}); name one of {_FAMILIES}, or a "
            "hub id with its commit"
        )
    problems: list[str] = []
    index = _read_json(folder / _INDEX, problems)
    if refusal := _other_kind(index):
        raise InputError(f"base model '{folder}': {refusal}; name one of {_FAMILIES}")
    family = _family(index)
    configs = {part: _read_json(folder / part / "config.json", problems) for part in family.models}
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json", problems)
    for part in family.text:
        if not any((folder / part.tokenizer / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            problems.append(f"{part.tokenizer}/: neither tokenizer.json nor vocab.json")
    problems += [
        f"{part.folder}/: adapter_config.json leads to another model; leave it out"
        for part in family.text
        if (folder / part.folder / "adapter_config.json").exists()
    ]
    problems += config_problems(family, configs, scheduler)
    if with_weights:
        shapes = _shapes(folder, family, problems)
        problems += shape_problems(family, configs, shapes) if not problems else []
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return family


def base_family(folder: Path) -> Family:
    """The family of a base's folder. Raises InputError if its index cannot be read."""
    problems: list[str] = []
    index = _read_json(folder / _INDEX, problems)
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return _family(index)


def empty_prompt_is_zero(folder: Path, family: Family) -> bool:
    """Whether zeros stand for the empty prompt of a checked base."""
    if family.zero_option is None:
        return False
    return bool(_checked(folder / _INDEX).get(family.zero_option, True))


def base_resolution(folder: Path) -> int:
    """Side of the square pictures of a checked base, in pixels."""
    unet, vae = (_checked(folder / part / "config.json") for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def _family(index: Mapping[str, Any]) -> Family:
    return STABLE_DIFFUSION_XL if _holds(index, "text_encoder_2") else STABLE_DIFFUSION


def _other_kind(index: Mapping[str, Any]) -> str | None:
    """Why a pipeline cannot be a base whatever its parts are; None if it may be one."""
    kind = index.get("_class_name")
    if _holds(index, "transformer"):
        return (
            f"it is a {kind}, whose transformer ({index['transformer'][-1]}) reads text and picture by joint "
            "attention, as Stable Diffusion 3 and FLUX do; the training works on the cross-attention of a UNet, which "
            "it has not"
        )
    only_the_second = _holds(index, "text_encoder_2") and not _holds(index, "text_encoder")
    if index.get("requires_aesthetics_score") or only_the_second:
        return (
            f"it is a {kind} with one text encoder of two and an aesthetic score, the refiner of Stable Diffusion XL; "
            "it finishes what the XL base has begun, and draws nothing by itself"
        )
    return None


def _holds(index: Mapping[str, Any], part: str) -> bool:
    """Whether a pipeline's index names that part; what a pipeline does without stands there as [null, null]."""
    named = index.get(part)
    return isinstance(named, list) and any(named)


def _shapes(folder: Path, family: Family, problems: list[str]) -> dict[str, dict[str, TensorShape]]:
    """The tensors of each part's weights, by the files' headers."""
    found = {}
    for part, name in family.models.items():
        if not (folder / part).is_dir():
            continue  # its missing config has been reported
        try:
            found[part] = weight_shapes(folder / part, name)
        except InputError as error:
            problems += [f"{part}/: {problem}" for problem in error.problems]
    return found


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """The file's content, or {} after adding to `problems`."""
    name = f"{path.parent.name}/{path.name}" if path.name != _INDEX else path.name
    if not path.exists():
        problems.append(f"no {name}; a diffusers pipeline folder is needed")
        return {}
    try:
        content = read_json(path, name, _MOST_CONFIG_BYTES)
    except InputError as error:
        problems += error.problems
        return {}
    if not isinstance(content, dict):
        problems.append(f"{name} is not a JSON object")
        return {}
    return content


def _checked(path: Path) -> dict[str, Any]:
    """The content of a configuration that has been checked."""
    content: dict[str, Any] = read_json(path, str(path), _MOST_CONFIG_BYTES)
    return content

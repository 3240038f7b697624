"""What a base model's folder must hold, told from its files alone: no weights are read and no torch is imported."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.bases.base_configs import shape_problems
from model.bases.weight_files import TensorShape, weight_shapes
from model.errors import InputError
from model.families.family import Family
from model.families.known import FAMILIES, NAMES, family_of, other_kind
from model.reading.documents import read_json

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
NEWEST = "newest"
"""Revision of a hub model that is not pinned to a commit yet; nothing is trained on it before."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
INDEX = "model_index.json"
_MOST_CONFIG_BYTES = 2**20


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
    if Path(reference).is_file():
        raise InputError(f"{what} '{reference}': a single file; a diffusers pipeline folder is needed")
    if not HUB_ID.fullmatch(reference):
        raise InputError(f"{what} '{reference}': no such folder, and no hub id of the form owner/name")
    if revision == NEWEST:
        raise InputError(
            f"{what} '{reference}' is not pinned to a commit yet: `conceptbooth doctor` writes the newest one into "
            "params.yaml once the hub answers"
        )
    if not _COMMIT.fullmatch(revision or ""):
        raise InputError(
            f"{what} '{reference}': no such folder, and as a hub id it needs a revision of 40 hex digits, not "
            f"{revision!r}; copy it from the model page's file history on the hub, or write {NEWEST}, in place of "
            "which `conceptbooth doctor` puts the newest commit"
        )
    return ModelSource(reference, revision)


def check_base_folder(folder: Path, *, with_weights: bool = True) -> Family:
    """The family of the pipeline in `folder`; `with_weights` False looks at the configurations alone.

    Raises InputError, with all problems, unless it is one of `model.families.known`, in safetensors.
    """
    if not (folder / INDEX).exists() and not any(
        (folder / part).is_dir() for family in FAMILIES for part in family.models
    ):
        raise InputError(
            f"base model '{folder}': no diffusers pipeline folder (it has no {INDEX}); name one of {NAMES}, or a "
            "hub id with its commit"
        )
    problems: list[str] = []
    index = _read_json(folder / INDEX, problems)
    if refusal := other_kind(index):
        raise InputError(f"base model '{folder}': {refusal}")
    family = family_of(index)
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
    problems += family.problems(configs, scheduler)
    if with_weights:
        shapes = _shapes(folder, family, problems)
        problems += shape_problems(family, configs, shapes) if not problems else []
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return family


def base_family(folder: Path) -> Family:
    """The family of a base's folder. Raises InputError if its index cannot be read."""
    problems: list[str] = []
    index = _read_json(folder / INDEX, problems)
    if problems:
        raise InputError(*(f"base model '{folder}': {problem}" for problem in problems))
    return family_of(index)


def empty_prompt_is_zero(folder: Path, family: Family) -> bool:
    """Whether zeros stand for the empty prompt of a checked base."""
    if family.zero_option is None:
        return False
    return bool(_checked(folder / INDEX).get(family.zero_option, True))


def base_resolution(folder: Path) -> int:
    """Side of the square pictures of a checked base, in pixels."""
    family = base_family(folder)
    denoiser, vae = (_checked(folder / part.folder / "config.json") for part in (family.denoiser, family.vae))
    return family.resolution(denoiser, vae)


def base_size_step(folder: Path) -> int:
    """What the sides of a checked base's pictures are multiples of, in pixels."""
    family = base_family(folder)
    denoiser, vae = (_checked(folder / part.folder / "config.json") for part in (family.denoiser, family.vae))
    return family.resolution(denoiser, vae) // family.latent_shape(denoiser, vae)[-1] * family.patch


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
    name = f"{path.parent.name}/{path.name}" if path.name != INDEX else path.name
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

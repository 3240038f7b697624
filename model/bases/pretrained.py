"""Pretrained parts from a folder or the hub: safetensors only, float32, frozen, and quiet."""

import logging
from pathlib import Path
from typing import Any

import torch

from model.bases.base_files import ModelSource
from model.bases.weight_files import weight_shapes
from model.errors import InputError
from model.families.config_values import size_problems
from model.reading.documents import read_json
from model.runtime.memory import enough_to_load
from model.runtime.quiet import quiet_hub, quiet_libraries

_log = logging.getLogger(__name__)
_HUB_SECONDS = 10.0
_SPARE = 1.1
"""A few weights too many are named by what is missing; what is multiplied has to be refused before."""


def load_frozen(
    model_class: Any, folder: Path, what: str, device: torch.device | str, *, weights: str = "model", **options: Any
) -> Any:
    """A diffusers or transformers model in float32, in evaluation mode, without gradients.

    Its folder is data: what its configuration promises is held against what the files of its weights (`weights`, and
    what their index names) have, before memory is asked for. `options` are the library's own. Raises InputError if the
    folder does not hold one in safetensors, WorkFailed if the device's memory does not suffice; both begin with `what`.
    """
    _check_sizes(model_class, folder, what, weights, options)
    # The two libraries have different names for the same option.
    dtype_option = "torch_dtype" if model_class.__module__.startswith("diffusers") else "dtype"
    try:
        with quiet_libraries():
            model, report = model_class.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **{dtype_option: torch.float32},
                **options,
            )
    except Exception as error:  # the libraries raise whatever a configuration leads them to
        raise InputError(f"{what} cannot be loaded ({first_line(error)})") from error
    missing = sorted(report["missing_keys"])
    if missing:  # both libraries would fill them with random numbers and only warn
        raise InputError(f"{what} lacks {len(missing)} of its weights, such as '{missing[0]}'")
    with enough_to_load(what, device):
        return model.to(device).eval().requires_grad_(False)


def _check_sizes(model_class: Any, folder: Path, what: str, weights: str, options: dict[str, Any]) -> None:
    """InputError where a configuration asks for more numbers than its files hold, or is none; nothing is allocated."""
    try:
        held = sum(tensor.elements for tensor in weight_shapes(folder, weights).values())
        config = read_json(folder / "config.json", "config.json")
        if not isinstance(config, dict):
            raise InputError("config.json is not a JSON object")
        if problems := size_problems(config):
            raise InputError(*(f"config.json: {problem}" for problem in problems))
    except InputError as error:
        raise InputError(*(f"{what} {problem}" for problem in error.problems)) from error
    of_diffusers = model_class.__module__.startswith("diffusers")
    try:
        with quiet_libraries(), torch.device("meta"):  # shapes without memory
            if of_diffusers:
                model = model_class.from_config(config)
            else:
                read = model_class.config_class.from_pretrained(folder, local_files_only=True)
                model = model_class(read, **options)
    except Exception as error:  # the libraries raise whatever a configuration leads them to
        raise InputError(f"{what} cannot be made of its config.json ({first_line(error)})") from error
    wanted = sum(parameter.numel() for parameter in model.parameters())
    if wanted > held * _SPARE:
        raise InputError(f"{what} config.json asks for {wanted:,} numbers, and its weights hold {held:,}")
    if of_diffusers and (unknown := sorted(set(config) - set(model.config) - {"_class_name"})):
        _log.info("%s config.json: without meaning here: %s", what, ", ".join(map(str, unknown[:10])))


def fetch(source: ModelSource, files: list[str]) -> Path:
    """The source's folder; of a hub repository only `files` (patterns) are downloaded, once.

    Raises InputError if the hub does not have the repository or the commit, or cannot be reached.
    """
    if source.folder is not None:
        return source.folder
    from huggingface_hub import snapshot_download

    _log.info("fetching %s at %s from the hub, unless it is here already", source.reference, source.revision)
    with quiet_hub():
        refusal = _hub_refuses(source)
        try:
            return Path(
                snapshot_download(
                    source.reference,
                    revision=source.revision,
                    allow_patterns=files,
                    local_files_only=refusal is not None,
                )
            )
        except (OSError, ValueError) as error:  # every error of the download is one of the two
            cause = refusal or error
            raise InputError(
                f"'{source.reference}' at {source.revision}: the hub does not give it ({first_line(cause)}); "
                "check the id, the commit and the connection, or name a local folder"
            ) from cause


def _hub_refuses(source: ModelSource) -> Exception | None:
    """Why the hub does not give a commit, asked once: a download repeats its first question for half a minute."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(source.reference, revision=source.revision, timeout=_HUB_SECONDS)
    except (HTTPError, OSError, ValueError) as error:
        return error
    return None


def first_line(error: BaseException) -> str:
    """What an error says, without the pages of advice that libraries add."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

"""Pretrained parts from a folder or the hub: safetensors only, float32, frozen, and quiet."""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from model.bases.base_files import ModelSource
from model.errors import InputError
from model.runtime.quiet import quiet_hub, quiet_libraries

_log = logging.getLogger(__name__)
_HUB_SECONDS = 10.0


def load_frozen(model_class: Any, folder: Path, what: str, device: torch.device | str, **options: Any) -> Any:
    """A diffusers or transformers model in float32, in evaluation mode, without gradients.

    `options` are the library's own. Raises InputError, which begins with `what`, if the folder does not hold one in
    safetensors.
    """
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
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{what} cannot be loaded ({first_line(error)})") from error
    missing = sorted(report["missing_keys"])
    if missing:  # both libraries would fill them with random numbers and only warn
        raise InputError(f"{what} lacks {len(missing)} of its weights, such as '{missing[0]}'")
    return model.to(device).eval().requires_grad_(False)


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

"""Checkpoints as files: written whole or not at all, and read only if every byte is as it was written.

    step-00000120/tensors.safetensors
    step-00000120/state.json        facts, and the tensors' sha256

A checkpoint is written beside its place, brought to the disk, and put there by one rename.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.runtime.disk import file_sha256, to_disk

TENSORS, STATE = "tensors.safetensors", "state.json"
_FORMAT = 1
_PREFIX, _UNFINISHED = "step-", ".part"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a training needs to go on from a step."""

    step: int
    identity: str
    """Of the training: another's checkpoint is none."""
    facts: Mapping[str, Any]
    """JSON."""
    tensors: Mapping[str, torch.Tensor]


class DamagedCheckpoint(Exception):
    """A checkpoint that is not as it was written."""


def place_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of this step lies."""
    return folder / f"{_PREFIX}{step:08}"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Put a checkpoint into `folder` and return where it is. Raises OSError; nothing of it is left then."""
    target = place_of(folder, checkpoint.step)
    unfinished = target.with_name(target.name + _UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
        try:
            save_file(tensors, unfinished / TENSORS)
        except SafetensorError as error:  # in which safetensors hides that the disk is full
            raise OSError(str(error)) from error
        state = {
            "format": _FORMAT,
            "identity": checkpoint.identity,
            "step": checkpoint.step,
            "sha256": file_sha256(unfinished / TENSORS),
            "facts": dict(checkpoint.facts),
        }
        (unfinished / STATE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
        for path in (unfinished / TENSORS, unfinished / STATE, unfinished):
            to_disk(path)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        to_disk(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return target


def newest_checkpoint(folder: Path, identity: str, on_damage: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint of this training, or None.

    What cannot be used is removed; `on_damage` is told of each that is damaged.
    """
    for leftover in folder.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(leftover)
    for place in _newest_first(folder):
        try:
            checkpoint = _read(place)
        except DamagedCheckpoint as damage:
            on_damage(f"checkpoint {place}: {damage}")
        else:
            if checkpoint.identity == identity:
                return checkpoint
        shutil.rmtree(place)
    return None


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep`."""
    for place in list(_newest_first(folder))[keep:]:
        doomed = place.with_name(place.name + _UNFINISHED)  # one that is half removed is no checkpoint any more
        place.rename(doomed)
        shutil.rmtree(doomed)


def _newest_first(folder: Path) -> Iterator[Path]:
    places = (place for place in folder.glob(f"{_PREFIX}*") if place.name.removeprefix(_PREFIX).isdigit())
    return iter(sorted(places, reverse=True))


def _read(place: Path) -> Checkpoint:
    try:
        state = json.loads((place / STATE).read_text(encoding="utf-8"))
        if state["format"] != _FORMAT:
            raise DamagedCheckpoint(f"of format {state['format']}, this version reads {_FORMAT}")
        if file_sha256(place / TENSORS) != state["sha256"]:
            raise DamagedCheckpoint(f"{TENSORS} is not as it was written")
        return Checkpoint(
            step=state["step"],
            identity=state["identity"],
            facts=state["facts"],
            tensors=load_file(place / TENSORS),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedCheckpoint(f"cannot be read ({error})") from error

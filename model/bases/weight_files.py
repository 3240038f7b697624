"""Which files hold a part's weights: safetensors alone, listed by nobody but the part's own folder, and whole.

The libraries open what a folder's index names, a pickle in another folder too; so it is read here first. And a file is
held against its own header before memory is asked for what that promises.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.reading.documents import parse_json, read_json
from model.reading.files import other_kind

_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F64", "I64", "U64"), 8),
}
_MOST_HEADER_BYTES = 64 * 2**20
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class TensorShape:
    """A tensor as its file's header has it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


def weight_patterns(name: str) -> list[str]:
    """What the files are called that `weight_shapes` reads, as a hub is asked for them: one file, or several."""
    return [f"{name}.safetensors", f"{name}.safetensors.index.json", f"{name}-*-of-*.safetensors"]


def weight_shapes(folder: Path, name: str) -> dict[str, TensorShape]:
    """The tensors of a part's weights, from the headers of `name`.safetensors or of the files that its index names.

    Raises:
        InputError: there are none in safetensors, the index leads elsewhere, or a file is not what its header says; it
            begins with the file's name.
    """
    found: dict[str, TensorShape] = {}
    for file in _files(folder, name):
        found |= _header(file)
    return found


def _files(folder: Path, name: str) -> Iterator[Path]:
    """All files that a library might take for the part's weights."""
    single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
    if single.exists():
        yield single
    if index.exists():
        yield from _listed(index)
    elif not single.exists():
        raise InputError(_missing(folder, name))


def _listed(index: Path) -> list[Path]:
    content = read_json(index, index.name)
    listed = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise InputError(f"{index.name} names no files (weight_map)")
    files = []
    for shard in dict.fromkeys(str(file) for file in listed.values()):
        if not _SHARD.fullmatch(shard):
            raise InputError(
                f"{index.name} leads to '{shard[:80]}'; only .safetensors files of its own folder are read"
            )
        if not (index.parent / shard).exists():
            raise InputError(f"{index.name} names '{shard}', which is not there")
        files.append(index.parent / shard)
    return files


def _missing(folder: Path, name: str) -> str:
    wanted = f"{name}.safetensors is needed"
    if variants := sorted(path.name for path in folder.glob(f"{name}.*.safetensors*")):
        return (
            f"only {', '.join(variants[:3])}, the weights in another precision; {wanted}: load the base with "
            f'variant="{variants[0].split(".")[1]}" and save it again, or fetch its whole weights'
        )
    if others := sorted(path.name for path in folder.glob("*.bin")):
        return f"only {', '.join(others[:3])}, and pickle is never read; {wanted}"
    return f"no weights; {wanted}"


def _header(file: Path) -> dict[str, TensorShape]:
    """The tensors that a file's header promises. InputError unless they fill the file, no more and no less."""
    try:
        state = file.stat()
        if kind := other_kind(state.st_mode):
            raise InputError(f"{file.name}: {kind}; a file is needed")
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(state.st_size - 8, _MOST_HEADER_BYTES):
                raise InputError(f"{file.name}: no safetensors file, or cut off (its header has {length:,} bytes)")
            content = parse_json(opened.read(length), f"{file.name}: its header")
    except OSError as error:
        raise InputError(f"{file.name}: cannot be read ({error.strerror})") from error
    if not isinstance(content, dict):
        raise InputError(f"{file.name}: its header is no JSON object")
    end, found = 0, {}
    tensors = [(name, _tensor(file, name, entry)) for name, entry in content.items() if name != "__metadata__"]
    for name, (tensor, start, stop) in sorted(tensors, key=lambda one: one[1][1:]):
        if start != end or stop - start != tensor.elements * _BYTES[tensor.dtype]:
            raise InputError(f"{file.name}: tensor '{name[:80]}' does not lie where its header says")
        end, found[name] = stop, tensor
    if end != state.st_size - 8 - length:
        raise InputError(
            f"{file.name}: {state.st_size - 8 - length:,} bytes of tensors where its header has {end:,}; cut off, or "
            "damaged: copy it again"
        )
    return found


def _tensor(file: Path, name: str, entry: Any) -> tuple[TensorShape, int, int]:
    """A tensor with its first byte and the one behind its last."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = [*shape, start, stop]
        if dtype not in _BYTES or len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in whole):
            raise ValueError(f"{dtype} {shape}")
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{file.name}: tensor '{name[:80]}' is none ({str(error)[:80]})") from error
    return TensorShape(dtype, tuple(shape)), start, stop

"""Base models' folders that would run code, take all memory or end in a stack trace: each with what becomes of it.

A case changes a copy of a sound folder, which has the parts of Stable Diffusion.
"""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNET = "unet/diffusion_pytorch_model"
TEXT = "text_encoder/model"
RUN = "the-pickle-ran"
"""A file that appears beside the base when code of it was run."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One folder."""

    called: str
    change: Callable[[Path], None]
    says: str
    """Part of the refusal; empty: it is read, and draws what the sound folder draws."""


class _Runs:
    """Touches a file when it is read by pickle."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self._mark,)


def _edit(file: str, **values: Any) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        path = base / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def _unet_times(factor: int) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        channels = json.loads((base / "unet/config.json").read_text())["block_out_channels"]
        _edit("unet/config.json", block_out_channels=[factor * number for number in channels])(base)

    return change


def _writes(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda base: _write(base / file, content)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _pickled(weights: str) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        single = base / f"{weights}.safetensors"
        shard = single.with_name("weights.bin")
        shard.write_bytes(pickle.dumps(_Runs(base / RUN)))
        single.unlink()
        _index(single, shard.name)

    return change


def _torch_file(base: Path) -> None:
    """Sound weights, in the format that torch reads by pickle."""
    import torch
    from safetensors.torch import load_file

    single = base / f"{UNET}.safetensors"
    weights = load_file(single)
    torch.save(weights, single.with_name("weights.bin"))
    single.unlink()
    content = {"metadata": {}, "weight_map": dict.fromkeys(weights, "weights.bin")}
    single.with_name(f"{single.name}.index.json").write_text(json.dumps(content))


def _outside(base: Path) -> None:
    """The weights themselves, but somewhere else: what lies there is not in the digest of this base."""
    single = base / f"{UNET}.safetensors"
    single.rename(base / "elsewhere.safetensors")
    _index(single, "../elsewhere.safetensors")


def _index(single: Path, shard: str) -> None:
    content = {"metadata": {}, "weight_map": {"conv_in.weight": shard, "conv_in.bias": shard}}
    single.with_name(f"{single.name}.index.json").write_text(json.dumps(content))


def _header(base: Path, content: bytes, length: int | None = None) -> None:
    header = struct.pack("<Q", len(content) if length is None else length) + content
    _write(base / f"{UNET}.safetensors", header)


def _huge_tensor(base: Path) -> None:
    entry = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    _header(base, json.dumps({"conv_in.weight": entry}).encode())


def _cut(base: Path) -> None:
    path = base / f"{UNET}.safetensors"
    path.write_bytes(path.read_bytes()[:-500])


def _without_added_tokens(base: Path) -> None:
    path = base / "tokenizer/tokenizer.json"
    content = json.loads(path.read_text())
    del content["added_tokens"]
    path.write_text(json.dumps(content))


def _pipe(file: str) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        (base / file).unlink()
        os.mkfifo(base / file)

    return change


def _endless(base: Path) -> None:
    (base / "vae/config.json").unlink()
    (base / "vae/config.json").symlink_to("/dev/zero")


def _adapter(base: Path) -> None:
    _write(base / "text_encoder/adapter_config.json", json.dumps({"base_model_name_or_path": "/elsewhere"}).encode())


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def cases() -> list[Case]:
    """All of them."""
    scheduler, unet, text = "scheduler/scheduler_config.json", "unet/config.json", "text_encoder/config.json"
    odd = {"self": 1, "": 2, "a b": 3, "__class__": 4, "args": [5], "config": {"x": 6}}
    told: dict[str, tuple[Callable[[Path], None], str]] = {
        "a UNet's index leads to a pickle": (_pickled(UNET), "leads to 'weights.bin'; only .safetensors"),
        "a text encoder's index leads to a pickle": (_pickled(TEXT), "leads to 'weights.bin'; only .safetensors"),
        "an index leads to a torch file": (_torch_file, "leads to 'weights.bin'; only .safetensors"),
        "an index leads out of its folder": (_outside, "leads to '../elsewhere.safetensors'"),
        "10^10 timesteps": (_edit(scheduler, num_train_timesteps=10**10), "num_train_timesteps 10000000000"),
        "timesteps as text": (_edit(scheduler, num_train_timesteps="1000"), "num_train_timesteps '1000'"),
        "betas of no number": (_edit(scheduler, beta_start="small"), "beta_start 'small'"),
        "a schedule that is a table": (_edit(scheduler, beta_schedule={"a": 1}), "beta_schedule {'a': 1}"),
        "fewer trained betas than timesteps": (_edit(scheduler, trained_betas=[0.1] * 7), "trained_betas has 7"),
        "keys that are no names": (_edit(scheduler, **odd), ""),
        "channels times 100,000": (_unet_times(100_000), "block_out_channels [800000, 1600000]"),
        "channels times 100": (_unet_times(100), "block_out_channels[0] 800, and its weights have 8"),
        "channels as text": (_edit(unet, block_out_channels="many"), "block_out_channels 'many'"),
        "a billion layers a block": (_edit(unet, layers_per_block=10**9), "layers_per_block 1000000000"),
        "a billion pixels": (_edit(unet, sample_size=10**9), "sample_size 1000000000"),
        "a million text layers": (_edit(text, num_hidden_layers=10**6), "num_hidden_layers 1000000"),
        "a text encoder's width as text": (_edit(text, hidden_size="16"), "hidden_size '16'"),
        "a text encoder of no kind": (_edit(text, architectures=None), "text_encoder/ is a None"),
        "a text encoder of no width": (_edit(text, hidden_size=None), "text_encoder/ make 0"),
        "a UNet without blocks": (_edit(unet, down_block_types=None), "no cross-attention"),
        "a vocabulary that is not there": (_edit(text, vocab_size=10**6), "vocab_size 1000000, and its weights"),
        "keys of another version": (_edit(unet, newest_option=[1], auto_map={"AutoModel": "evil.Model"}), ""),
        "quantised": (_edit(unet, quantization_config={"quant_method": "bitsandbytes"}), "quantised"),
        "a configuration 1,000 deep": (_writes(unet, _deep(1_000)), "nested more than 64"),
        "an index 100,000 deep": (_writes("model_index.json", _deep(100_000)), "nested more than 64"),
        "an index of numbers": (_edit("model_index.json", unet=5, text_encoder_2=7), ""),
        "a configuration that is a list": (_writes(unet, b"[1]"), "unet/config.json is not a JSON object"),
        "a configuration of 80 MB": (_writes(unet, b" " * 80 * 2**20), "80 MB"),
        "a configuration that is a pipe": (_pipe(unet), "a named pipe"),
        "a configuration without end": (_endless, "a device"),
        "weights that are a pipe": (_pipe(f"{UNET}.safetensors"), "a named pipe"),
        "weights cut off": (_cut, "cut off"),
        "weights that promise 4 TB": (_huge_tensor, "bytes of tensors where its header has"),
        "weights with a header 1,000 deep": (lambda base: _header(base, _deep(1_000)), "nested more than 64"),
        "weights with a header of 2^60 bytes": (lambda base: _header(base, b"{}", 2**60), "its header has 1,152"),
        "a tokenizer without added_tokens": (_without_added_tokens, "its tokenizer cannot be read"),
        "a tokenizer 1,000 deep": (_writes("tokenizer/tokenizer.json", _deep(1_000)), "its tokenizer cannot be read"),
        "a length as text": (_edit("tokenizer/tokenizer_config.json", model_max_length="many"), "its tokenizer cannot"),
        "an adapter that leads elsewhere": (_adapter, "adapter_config.json leads to another model"),
    }
    return [Case(called=called, change=change, says=says) for called, (change, says) in told.items()]

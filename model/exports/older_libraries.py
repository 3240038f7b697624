"""What transformers 4 needs beside what transformers 5 writes: a tokenizer's words in two files, and a prefix.

Both read the result: transformers 5 takes the prefix off, and reads tokenizer.json.
"""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

_PREFIX = "text_model."
_INSIDE = ("embeddings.", "encoder.layers.", "final_layer_norm.")
"""Beginnings of names in CLIP's text encoders that get it; of a T5 or another text model none begins so."""
_WEIGHTS = "model.safetensors"


def write_for_transformers_4(text_encoder: Path, tokenizer: Path) -> None:
    """Mend the folders of a saved text encoder and of its tokenizer in place."""
    _name_weights(text_encoder / _WEIGHTS)
    _write_words(tokenizer)


def long_name(name: str) -> str:
    """What transformers 4 calls a weight or layer of a text encoder."""
    return _PREFIX + name if name.startswith(_INSIDE) else name


def _name_weights(file: Path) -> None:
    """Put the prefix before names without: transformers 4 knows the weights by no others, and draws new ones."""
    weights = load_file(file)
    named = {long_name(name): tensor for name, tensor in weights.items()}
    if named.keys() != weights.keys():
        save_file(named, file, metadata={"format": "pt"})


def _write_words(folder: Path) -> None:
    """Write vocab.json, merges.txt and added_tokens.json, which are all that a tokenizer written in Python reads."""
    written = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = written["model"]["vocab"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in written["model"]["merges"]]
    added = {token["content"]: token["id"] for token in written["added_tokens"] if token["content"] not in vocabulary}
    for name, words in (("vocab.json", vocabulary), ("added_tokens.json", added)):
        (folder / name).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")

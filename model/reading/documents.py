"""JSON and TOML from outside, within bounds: of size, of depth, of the length of numbers.

What is nested a thousand deep, or holds a number of five thousand digits, is refused here in words instead of ending
in whatever looks at it later.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from model.errors import InputError
from model.reading.files import decoded, read_file, read_text

MOST_JSON_BYTES = 64 * 2**20
MOST_TOML_BYTES = 2**20
DEEPEST = 64
"""Levels of lists and tables inside each other; the deepest document of this project has nine."""
_MOST_BITS = 128
"""Of a whole number: some tokenizers say that their texts may have 10^30 tokens."""


def read_json(path: Path, label: str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """The content of a JSON file, which messages call `label`. InputError if it is none, or out of bounds."""
    return parse_json(read_file(path, label, most_bytes), label)


def parse_json(content: str | bytes, label: str) -> Any:
    """What a JSON document says. Raises InputError, which begins with `label`, if it is none, or out of bounds."""
    text = decoded(content, label) if isinstance(content, bytes) else content
    try:
        found = json.loads(text)
    except RecursionError:
        raise InputError(_too_deep(label)) from None
    except ValueError as error:
        raise InputError(f"{label} is not JSON ({error})") from error
    check_bounds(found, label)
    return found


def read_toml(path: Path, label: str) -> dict[str, Any]:
    """The content of a TOML file, which messages call `label`. InputError if it is none, or out of bounds."""
    text = read_text(path, label, MOST_TOML_BYTES)
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise InputError(_too_deep(label)) from None
    except ValueError as error:  # tomllib's own, and that of a number too long for Python
        raise InputError(f"{label}: {error}") from error
    check_bounds(found, label)
    return found


def check_bounds(content: Any, label: str) -> None:
    """InputError for a document that is nested too deep, or holds numbers or texts that nothing can work with."""
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            _check_text(value, label)
        elif isinstance(value, dict | list):
            if depth >= DEEPEST:
                raise InputError(_too_deep(label))
            if isinstance(value, dict):
                for name in value:
                    _check_text(name, label)
                waiting += [(inner, depth + 1) for inner in value.values()]
            else:
                waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise InputError(f"{label}: a number of {value.bit_length()} bits; at most {_MOST_BITS} are allowed")


def _check_text(text: str, label: str) -> None:
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{label}: half of a surrogate pair, which is no character, in {text[:40]!a}")


def _too_deep(label: str) -> str:
    return f"{label}: nested more than {DEEPEST} levels deep"

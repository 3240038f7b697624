"""What a concept's weights file says of itself, read without torch and without its tensors."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from model.bases.prompt import ConceptPrompt
from model.errors import InputError

EXACT_FORMAT, SMALL_FORMAT = 1, 2
"""Every changed parameter as it is; the change of all of them in few bytes (`model.weights.small`)."""
SMALL = "small"
"""The fact that says how those bytes lie."""
# All facts under one key: with several, the file's bytes would differ from one writing to the next.
FACTS = "conceptbooth"


def read_prompt(path: Path) -> ConceptPrompt:
    """How the concept in this file is called. Raises InputError if the file is missing, damaged or something else."""
    return read_facts(path)[0]


def is_small(path: Path) -> bool:
    """Whether a file holds the small form. Raises as `read_prompt`."""
    return read_facts(path)[1] is not None


def read_facts(path: Path) -> tuple[ConceptPrompt, Any]:
    """How the concept is called, and of the small form how its bytes lie, None of the exact one; as `read_prompt`."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"concept weights '{path}': cannot be read ({error})") from error
    try:
        facts = dict(json.loads(metadata.get(FACTS, "{}")))
        found = facts.pop("format", None)
        if found not in (EXACT_FORMAT, SMALL_FORMAT):
            raise ValueError(f"not of format {EXACT_FORMAT} or {SMALL_FORMAT}")
        layout = dict(facts.pop(SMALL)) if found == SMALL_FORMAT else None
        return ConceptPrompt(**facts), layout
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # facts of any shape and type
        raise unknown_format(path, error) from error


def unknown_format(path: Path, error: Exception) -> InputError:
    """That a file is no concept as this version writes them."""
    return InputError(f"concept weights '{path}': no concept of a format that this version can read ({error})")

"""What a concept's weights file says of itself, read without torch and without its tensors."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from model.bases.prompt import ConceptPrompt
from model.errors import InputError

FORMAT = 1
# All facts under one key: with several, the file's bytes would differ from one writing to the next.
FACTS = "conceptbooth"


def read_prompt(path: Path) -> ConceptPrompt:
    """How the concept in this file is called. Raises InputError if the file is missing, damaged or something else."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"concept weights '{path}': cannot be read ({error})") from error
    try:
        facts = dict(json.loads(metadata.get(FACTS, "{}")))
        if facts.pop("format", None) != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        return ConceptPrompt(**facts)
    except (ValueError, TypeError, AttributeError) as error:  # facts of any shape and type
        raise unknown_format(path, error) from error


def unknown_format(path: Path, error: Exception) -> InputError:
    """That a file is no concept as this version writes them."""
    return InputError(f"concept weights '{path}': no concept of format {FORMAT} that this version can read ({error})")

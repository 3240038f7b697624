"""How prompts become tokens for CLIP text encoders, without torch."""

from typing import Any

from model.errors import InputError
from model.families.family import Config
from model.families.reader import PromptReader

USUAL_TOKENS = 77
"""Of a CLIP text encoder whose configuration does not say."""


def clip_reader(tokenizer: Any, config: Config) -> PromptReader:
    """Start, words, end, and padding up to what tokenizer and text encoder both take."""
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if any(type(token) is not int for token in named) or type(tokenizer.model_max_length) is not int:
        raise InputError(
            f"its tokenizer cannot be read (start, end and padding are {named}, most tokens "
            f"{tokenizer.model_max_length!r})"
        )
    start, end, padding = named
    return PromptReader(
        tokenizer=tokenizer,
        before=(start,),
        after=(end,),
        longest=min(tokenizer.model_max_length, config.get("max_position_embeddings", USUAL_TOKENS)),
        padding=padding,
        unknown=tokenizer.unk_token_id,
    )

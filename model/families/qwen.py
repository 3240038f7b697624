"""Qwen3 as a reader of prompts, inside the turn of its chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.errors import InputError
from model.families.reader import PromptReader

_WORDS = "words of a prompt"


def qwen_reader(tokenizer: Any, longest: int, *, padded: bool = False, **template: Any) -> PromptReader:
    """One turn of a user, of at most `longest` tokens, and the beginning of an answer; `template` are its options.

    `padded` prompts are filled up to `longest` by the tokenizer's own token for that.

    Qwen's tokenizer works on bytes, and a word holds the space before it: " dog" is another token than "dog".
    """
    try:
        turn = tokenizer.apply_chat_template(
            [{"role": "user", "content": _WORDS}], tokenize=False, add_generation_prompt=True, **template
        )
        before, after = str(turn).split(_WORDS)
    except Exception as error:  # a template is a program of the folder's own
        raise InputError(f"its tokenizer's chat template cannot be used ({str(error)[:80]})") from error
    reader = PromptReader(tokenizer=tokenizer, before=(), after=(), longest=longest, space=" ")
    around = tuple(reader.ids(before)), tuple(reader.ids(after))
    if not around[1] or sum(map(len, around)) >= longest:
        raise InputError("its tokenizer's chat template ends no prompt, or leaves no room for one")
    padding = tokenizer.pad_token_id if padded else None
    if padded and padding is None:
        raise InputError("its tokenizer has no token to fill prompts up with (pad_token in tokenizer_config.json)")
    return PromptReader(
        tokenizer=tokenizer, before=around[0], after=around[1], longest=longest, padding=padding, space=" "
    )


def read_layers(model: Any, rows: Any, wanted: Sequence[int], attended: Any = None) -> list[Any]:
    """The states (prompts, tokens, width) behind the layers of these numbers, counted from 1; later ones do not run.

    `rows` are the embeddings of the words. The forward pass of transformers' Qwen3Model (5.23) without its last norm.
    It is causal: padding on the right reaches no word, so it needs no mask for them. `attended` (prompts, tokens) says
    what tokens are none, for a base that reads the states of padding too.
    """
    import torch
    from transformers.masking_utils import create_causal_mask

    places = torch.arange(rows.shape[1], device=rows.device)[None]
    mask = create_causal_mask(
        config=model.config, inputs_embeds=rows, attention_mask=attended, past_key_values=None, position_ids=places
    )
    turned = model.rotary_emb(rows, places)
    states, kept = rows, {}
    for number, layer in enumerate(model.layers[: max(wanted)], start=1):
        states = layer(states, attention_mask=mask, position_embeddings=turned, position_ids=places)
        if number in wanted:
            kept[number] = states
    return [kept[number] for number in wanted]


def add_word(tokenizer: Any, model: Any, token: str, row: Any) -> None:
    """Make [V] a word that takes the space before it, in a row that the table has free, or a new one."""
    import torch
    from transformers import AddedToken

    tokenizer.add_tokens([AddedToken(token, lstrip=True)])
    place = tokenizer.convert_tokens_to_ids(token)
    words = model.get_input_embeddings()
    if place >= len(words.weight):
        words = model.resize_token_embeddings(place + 1, mean_resizing=False)
    with torch.no_grad():
        words.weight[place] = row.to(words.weight)

"""Prompts as token ids, with the places of [V] and of the super-category; needs the base's tokenizer, not torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from model.prompt import ConceptPrompt
from model.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

# A word that a base has seen is one token or a few long ones; one it has not is spelled out nearly letter by letter.
_LETTERS_PER_TOKEN = 2
_SHOWN_LETTERS = 80
USUAL_TOKENS = 77
"""Of a CLIP text encoder whose configuration does not say."""


@dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
    """One prompt, ready for the text encoder."""

    ids: tuple[int, ...]
    """As many as the text encoder takes, padding included; the id at a place of [V] is only a stand-in."""
    placeholder: tuple[int, ...] = ()
    """Places of [V]."""
    super_category: tuple[int, ...] = ()
    """Places of the super-category's tokens right behind [V]."""


def load_tokenizer(folder: Path, what: str) -> CLIPTokenizer:
    """The CLIP tokenizer in `folder`. Raises InputError, which begins with `what`, if its files cannot be read."""
    from transformers import CLIPTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):  # it would come up empty
        raise InputError(f"{what}: its tokenizer is not there (neither tokenizer.json nor vocab.json)")
    try:
        with quiet_libraries():
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{what}: its tokenizer cannot be read ({error})") from error


def base_tokenizer(folder: Path, reference: str) -> CLIPTokenizer:
    """The tokenizer of a base model's folder, which takes no more tokens than the base's text encoder does.

    Raises InputError if its files cannot be read.
    """
    what = f"base model '{reference}'"
    tokenizer = load_tokenizer(folder / "tokenizer", what)
    try:
        config = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
        tokenizer.model_max_length = min(
            tokenizer.model_max_length, config.get("max_position_embeddings", USUAL_TOKENS)
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{what}: text_encoder/config.json cannot be read ({error})") from error
    return tokenizer


def check_lengths(tokenizer: CLIPTokenizer, prompt: ConceptPrompt, prompts: Sequence[str]) -> None:
    """Raise InputError, with all of them, for prompts (with `{}`) that are too long."""
    _check_all(lambda text=text: tokenize(tokenizer, prompt.fill(text), prompt) for text in prompts)  # type: ignore[misc]


def tokenize(tokenizer: CLIPTokenizer, text: str, prompt: ConceptPrompt | None = None) -> TokenizedPrompt:
    """Token ids of `text`, in which `prompt`'s placeholder token stands for [V].

    The tokenizer is not changed: the text is cut at [V], and its parts are encoded apart, which for a tokenizer that
    never joins words is the same as adding a token to it.

    Raises InputError, naming what would be cut off, for a text longer than the tokenizer takes.
    """
    category_ids = _word_ids(tokenizer, prompt.super_category) if prompt else []
    ids: list[int] = []
    ends: list[int] = []  # where each token ends in `text`
    placeholder: list[int] = []
    start = 0
    for number, part in enumerate(text.split(prompt.placeholder_token) if prompt else [text]):
        if prompt and number > 0:
            placeholder.append(len(ids) + 1)  # one more for the start token
            ids.append(category_ids[0])
            ends.append(start)
        encoded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids += encoded["input_ids"]
        ends += [start + end for _, end in encoded["offset_mapping"]]
        start += len(part) + (len(prompt.placeholder_token) if prompt else 0)
    room = tokenizer.model_max_length - 2  # start and end token
    if len(ids) > room:
        written = text.replace(prompt.called, "{}") if prompt else text
        raise InputError(
            f'prompt "{_beginning(written)}": {len(ids)} tokens, the base takes {room}; '
            f'"{_beginning(text[ends[room - 1] :])}" would be cut off, so shorten it'
        )
    category = [
        place + 1 + offset
        for place in placeholder
        if ids[place : place + len(category_ids)] == category_ids
        for offset in range(len(category_ids))
    ]
    padding = [tokenizer.pad_token_id] * (room - len(ids))
    return TokenizedPrompt(
        ids=(tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding),
        placeholder=tuple(placeholder),
        super_category=tuple(category),
    )


def super_category_ids(tokenizer: CLIPTokenizer, super_category: str) -> list[int]:
    """Token ids of the super-category. Raises InputError if it is empty or holds a word that the base does not know."""
    if not super_category.strip():
        raise InputError('super-category: empty; say what kind of thing it is, such as "teddy bear"')
    unknown = []
    for word in super_category.split():
        ids = _word_ids(tokenizer, word)
        if tokenizer.unk_token_id in ids or (len(ids) > 1 and len(word) < _LETTERS_PER_TOKEN * len(ids)):
            unknown.append(f"'{word}'")
    if unknown:
        raise InputError(
            f"super-category '{super_category}': the base does not know {', '.join(unknown)}; "
            "choose a plainer word for this kind of thing"
        )
    return _word_ids(tokenizer, super_category)


def rare_token_id(tokenizer: CLIPTokenizer, word: str, prompt: ConceptPrompt) -> int:
    """Token id of a rare token. Raises InputError if it is not one token, or part of the super-category."""
    ids = _word_ids(tokenizer, word)
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise InputError(
            f"rare token '{word}': the base reads it as {len(ids)} tokens; choose a word that is one token"
        )
    if ids[0] in _word_ids(tokenizer, prompt.super_category):
        raise InputError(
            f"rare token '{word}': part of super-category '{prompt.super_category}', so the base could not tell [V] "
            "from it; choose another"
        )
    return ids[0]


def check_placeholder(tokenizer: CLIPTokenizer, placeholder_token: str) -> None:
    """Raise InputError if the placeholder token already means something to the base."""
    vocabulary: dict[str, Any] = tokenizer.get_vocab()
    if placeholder_token in vocabulary or f"{placeholder_token}</w>" in vocabulary:
        raise InputError(f"placeholder token '{placeholder_token}': a word of the base already; choose another name")


def check_concept(tokenizer: CLIPTokenizer, prompt: ConceptPrompt, prompts: Sequence[str] = ()) -> None:
    """Raise InputError, with all problems, unless a base can be taught `prompt` and asked for `prompts` (with `{}`)."""
    _check_all(
        [
            lambda: check_placeholder(tokenizer, prompt.placeholder_token),
            lambda: _check_super_category(tokenizer, prompt),
            lambda: check_lengths(tokenizer, prompt, prompts),
        ]
    )


def _check_super_category(tokenizer: CLIPTokenizer, prompt: ConceptPrompt) -> None:
    """Raise InputError unless the base knows the super-category and the instance prompt has room for it."""
    words = len(super_category_ids(tokenizer, prompt.super_category))
    others = len(_word_ids(tokenizer, prompt.template.replace("{}", " "))) + 1  # one more for [V]
    room = tokenizer.model_max_length - 2 - others
    if prompt.names_category and 0 < room < words:
        raise InputError(
            f"super-category '{prompt.super_category}': {words} tokens, and \"{prompt.template}\" leaves room for "
            f"{room}; say in a word or two what kind of thing it is"
        )
    check_lengths(tokenizer, prompt, [prompt.template])


def _check_all(checks: Iterable[Callable[[], object]]) -> None:
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(*problems)


def _beginning(text: str) -> str:
    """Enough of a text to know it by."""
    return shorten(text, _SHOWN_LETTERS, placeholder=" ...")


def _word_ids(tokenizer: CLIPTokenizer, words: str) -> list[int]:
    return list(tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"])

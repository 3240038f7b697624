"""Prompts as token ids, with the places of [V] and of the super-category; needs the base's tokenizers, not torch.

`tokenizers` are those of a base's text encoders, in their order; what one of them objects to is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

from model.bases.base_files import base_family
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from model.reading.documents import read_json
from model.runtime.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

T = TypeVar("T")
Tokenizers = Sequence["CLIPTokenizer"]
# A word that a base has seen is one token or a few long ones; one it has not is spelled out nearly letter by letter.
_LETTERS_PER_TOKEN = 2
_SHOWN_LETTERS = 80
USUAL_TOKENS = 77
"""Of a CLIP text encoder whose configuration does not say."""


@dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
    """One prompt, ready for the text encoders."""

    ids: tuple[tuple[int, ...], ...]
    """For each text encoder as many as it takes, padding included; the id at a place of [V] is only a stand-in."""
    placeholder: tuple[int, ...] = ()
    """Places of [V], the same for all text encoders."""
    super_category: tuple[int, ...] = ()
    """Places of the super-category's tokens right behind [V]."""


def load_tokenizer(folder: Path, what: str) -> CLIPTokenizer:
    """The CLIP tokenizer in `folder`. Raises InputError, which begins with `what`, if its files cannot be read."""
    from transformers import CLIPTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):  # it would come up empty
        raise InputError(f"{what}: its tokenizer is not there (neither tokenizer.json nor vocab.json)")
    try:
        with quiet_libraries():
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library raises whatever a damaged file leads it to
        raise InputError(f"{what}: its tokenizer cannot be read ({error})") from error
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if any(type(token) is not int for token in named) or type(tokenizer.model_max_length) is not int:
        raise InputError(
            f"{what}: its tokenizer cannot be read (start, end and padding are {named}, most tokens "
            f"{tokenizer.model_max_length!r})"
        )
    # What its file says of both, the first call would take back, while other threads read by it.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def base_tokenizers(folder: Path, reference: str) -> tuple[CLIPTokenizer, ...]:
    """The tokenizers of a base model's folder, which take no more tokens than all its text encoders do.

    Raises InputError if their files cannot be read.
    """
    what, parts = f"base model '{reference}'", base_family(folder).text
    tokenizers = tuple(load_tokenizer(folder / part.tokenizer, what) for part in parts)
    longest = [tokenizer.model_max_length for tokenizer in tokenizers]
    for part, tokenizer in zip(parts, tokenizers, strict=True):
        try:
            config = read_json(folder / part.folder / "config.json", f"{part.folder}/config.json")
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        known, words = len(tokenizer), config.get("vocab_size")
        if words is not None and known > words:
            raise InputError(f"{what}: {part.tokenizer}/ has {known} words, and {part.folder}/ knows {words} of them")
        longest.append(config.get("max_position_embeddings", USUAL_TOKENS))
    for tokenizer in tokenizers:
        tokenizer.model_max_length = min(longest)
    return tokenizers


def check_lengths(tokenizers: Tokenizers, prompt: ConceptPrompt, prompts: Sequence[str]) -> None:
    """Raise InputError, with all of them, for prompts (with `{}`) that are too long."""
    _all_of(lambda text=text: tokenize(tokenizers, prompt.fill(text), prompt) for text in prompts)  # type: ignore[misc]


def tokenize(tokenizers: Tokenizers, text: str, prompt: ConceptPrompt | None = None) -> TokenizedPrompt:
    """Token ids of `text`, in which `prompt`'s placeholder token stands for [V].

    The tokenizers are not changed: the text is cut at [V], and its parts are encoded apart, which for a tokenizer that
    never joins words is the same as adding a token to it.

    Raises InputError, naming what would be cut off, for a text longer than the tokenizers take, and for one in which
    they find [V] at different places: the UNet reads the states of all text encoders side by side.
    """
    first, *others = _of_each(tokenizers, lambda tokenizer: _tokenize(tokenizer, text, prompt))
    if any((other.placeholder, other.super_category) != (first.placeholder, first.super_category) for other in others):
        raise InputError(
            f'prompt "{_beginning(_written(text, prompt))}": the base\'s tokenizers read it as different numbers of '
            "tokens, so that [V] has no one place in it; choose other words"
        )
    return replace(first, ids=tuple(read.ids[0] for read in (first, *others)))


def word_places(tokenizers: Tokenizers, prompt: TokenizedPrompt, word: str) -> tuple[int, ...]:
    """Places of a word, or of words side by side, in a prompt. InputError if it is not in it, or more than once."""
    first, wanted = prompt.ids[0], tuple(_word_ids(tokenizers[0], word))
    starts = [start for start in range(len(first)) if wanted and first[start : start + len(wanted)] == wanted]
    taken = {*prompt.placeholder, *prompt.super_category}
    starts = [start for start in starts if not taken & set(range(start, start + len(wanted)))]
    if len(starts) != 1:
        raise InputError(f"word '{word}': {len(starts)} times in the prompt beside the concept; name one that is once")
    return tuple(range(starts[0], starts[0] + len(wanted)))


def super_category_ids(tokenizers: Tokenizers, super_category: str) -> list[list[int]]:
    """Token ids of the super-category for each tokenizer.

    Raises InputError if it is empty or holds a word that the base does not know.
    """
    if not super_category.strip():
        raise InputError('super-category: empty; say what kind of thing it is, such as "teddy bear"')
    return _of_each(tokenizers, lambda tokenizer: _known_ids(tokenizer, super_category))


def rare_token_ids(tokenizers: Tokenizers, word: str, prompt: ConceptPrompt) -> list[int]:
    """Token id of a rare token for each tokenizer. InputError if it is not one token, or part of the super-category."""
    return _of_each(tokenizers, lambda tokenizer: _rare_token_id(tokenizer, word, prompt))


def check_placeholder(tokenizers: Tokenizers, placeholder_token: str) -> None:
    """Raise InputError if the placeholder token already means something to the base."""
    for tokenizer in tokenizers:
        vocabulary: dict[str, Any] = tokenizer.get_vocab()
        if placeholder_token in vocabulary or f"{placeholder_token}</w>" in vocabulary:
            raise InputError(
                f"placeholder token '{placeholder_token}': a word of the base already; choose another name"
            )


def check_concept(tokenizers: Tokenizers, prompt: ConceptPrompt, prompts: Sequence[str] = ()) -> None:
    """Raise InputError, with all problems, unless a base can be taught `prompt` and asked for `prompts` (with `{}`)."""
    _all_of(
        [
            lambda: check_placeholder(tokenizers, prompt.placeholder_token),
            lambda: _check_super_category(tokenizers, prompt),
            lambda: check_lengths(tokenizers, prompt, prompts),
        ]
    )


def _check_super_category(tokenizers: Tokenizers, prompt: ConceptPrompt) -> None:
    """Raise InputError unless the base knows the super-category and the instance prompt has room for it."""
    for tokenizer, ids in zip(tokenizers, super_category_ids(tokenizers, prompt.super_category), strict=True):
        others = len(_word_ids(tokenizer, prompt.template.replace("{}", " "))) + 1  # one more for [V]
        room = tokenizer.model_max_length - 2 - others
        if prompt.names_category and 0 < room < len(ids):
            raise InputError(
                f"super-category '{prompt.super_category}': {len(ids)} tokens, and \"{prompt.template}\" leaves room "
                f"for {room}; say in a word or two what kind of thing it is"
            )
    check_lengths(tokenizers, prompt, [prompt.template])


def _tokenize(tokenizer: CLIPTokenizer, text: str, prompt: ConceptPrompt | None) -> TokenizedPrompt:
    """The prompt as one tokenizer reads it."""
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
        raise InputError(
            f'prompt "{_beginning(_written(text, prompt))}": {len(ids)} tokens, the base takes {room}; '
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
        ids=((tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding),),
        placeholder=tuple(placeholder),
        super_category=tuple(category),
    )


def _known_ids(tokenizer: CLIPTokenizer, super_category: str) -> list[int]:
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


def _rare_token_id(tokenizer: CLIPTokenizer, word: str, prompt: ConceptPrompt) -> int:
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


def _of_each(tokenizers: Tokenizers, read: Callable[[CLIPTokenizer], T]) -> list[T]:
    """What `read` gives for each tokenizer; what they object to together is said once."""
    return _all_of(lambda tokenizer=tokenizer: read(tokenizer) for tokenizer in tokenizers)  # type: ignore[misc]


def _all_of(reads: Iterable[Callable[[], T]]) -> list[T]:
    """What all of them give. Raises InputError with every problem of any of them, each once."""
    found: list[T] = []
    problems: dict[str, None] = {}
    for read in reads:
        try:
            found.append(read())
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise InputError(*problems)
    return found


def _written(text: str, prompt: ConceptPrompt | None) -> str:
    """The text as the user wrote it."""
    return text.replace(prompt.called, "{}") if prompt else text


def _beginning(text: str) -> str:
    """Enough of a text to know it by."""
    return shorten(text, _SHOWN_LETTERS, placeholder=" ...")


def _word_ids(tokenizer: CLIPTokenizer, words: str) -> list[int]:
    return list(tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"])

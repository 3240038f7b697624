"""Prompts as token ids, with the places of [V] and of the super-category; needs the base's tokenizers, not torch.

`tokenizers` are how a base's text models read prompts, in their order; what one of them objects to is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from model.bases.base_files import base_family
from model.bases.near_words import words_instead
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from model.families.reader import PromptReader
from model.families.tokenized import TokenizedPrompt
from model.reading.documents import read_json
from model.runtime.quiet import quiet_libraries

T = TypeVar("T")
Tokenizers = Sequence[PromptReader]
# A word that a base has seen is one token or a few long ones; one it has not is spelled out nearly letter by letter.
_LETTERS_PER_TOKEN = 2
_SHOWN_LETTERS = 80


def load_tokenizer(folder: Path, what: str, tokenizer_class: str = "CLIPTokenizer") -> Any:
    """The tokenizer in `folder`, of that class of transformers.

    Raises InputError, which begins with `what`, if its files cannot be read.
    """
    import transformers

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):  # it would come up empty
        raise InputError(f"{what}: its tokenizer is not there (neither tokenizer.json nor vocab.json)")
    try:
        with quiet_libraries():
            tokenizer = getattr(transformers, tokenizer_class).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library raises whatever a damaged file leads it to
        raise InputError(f"{what}: its tokenizer cannot be read ({error})") from error
    # What its file says of both, the first call would take back, while other threads read by it.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def base_tokenizers(folder: Path, reference: str) -> tuple[PromptReader, ...]:
    """How the text models of a base's folder read prompts, none of more tokens than all of them take.

    Raises InputError if their files cannot be read.
    """
    what, family = f"base model '{reference}'", base_family(folder)
    readers = []
    for part in family.text:
        tokenizer = load_tokenizer(folder / part.tokenizer, what, part.tokenizer_class)
        try:
            config = read_json(folder / part.folder / "config.json", f"{part.folder}/config.json")
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        known, words = len(tokenizer), config.get("vocab_size")
        if words is not None and known > words:
            raise InputError(f"{what}: {part.tokenizer}/ has {known} words, and {part.folder}/ knows {words} of them")
        try:
            readers.append(family.reader(tokenizer, config))
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
    longest = min(reader.longest for reader in readers)
    for reader in readers:
        reader.tokenizer.model_max_length = longest
    return tuple(replace(reader, longest=longest) for reader in readers)


def check_lengths(tokenizers: Tokenizers, prompt: ConceptPrompt, prompts: Sequence[str]) -> None:
    """Raise InputError, with all of them, for prompts (with `{}`) that are too long."""
    _all_of(lambda text=text: tokenize(tokenizers, prompt.fill(text), prompt) for text in prompts)  # type: ignore[misc]


def tokenize(tokenizers: Tokenizers, text: str, prompt: ConceptPrompt | None = None) -> TokenizedPrompt:
    """Token ids of `text`, in which `prompt`'s placeholder token stands for [V].

    The tokenizers are not changed: the text is cut at [V], and its parts are encoded apart, which is the same as adding
    a token to a tokenizer that never joins words, and to one whose tokens hold the space before them if the new token
    takes that too.

    Raises InputError, naming what would be cut off, for a text longer than the tokenizers take, and for one in which
    they find [V] at different places: the denoiser reads the states of all text models side by side.
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
    first, wanted = prompt.ids[0], tuple(tokenizers[0].word_ids(word))
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
        if tokenizer.knows(placeholder_token):
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
        others = len(tokenizer.ids(prompt.template.replace("{}", " "))) + 1  # one more for [V]
        room = tokenizer.room - others
        if prompt.names_category and 0 < room < len(ids):
            raise InputError(
                f"super-category '{prompt.super_category}': {len(ids)} tokens, and \"{prompt.template}\" leaves room "
                f"for {room}; say in a word or two what kind of thing it is"
            )
    check_lengths(tokenizers, prompt, [prompt.template])


def _tokenize(tokenizer: PromptReader, text: str, prompt: ConceptPrompt | None) -> TokenizedPrompt:
    """The prompt as one tokenizer reads it."""
    category_ids = tokenizer.word_ids(prompt.super_category) if prompt else []
    first = len(tokenizer.before)
    ids: list[int] = []
    ends: list[int] = []  # where each token ends in `text`
    placeholder: list[int] = []
    start = 0
    parts = text.split(prompt.placeholder_token) if prompt else [text]
    for number, part in enumerate(parts):
        if prompt and number > 0:
            placeholder.append(first + len(ids))
            ids.append(category_ids[0])
            ends.append(start)
        # Where words hold the space before them, [V] holds the one before it.
        own = part.rstrip() if tokenizer.space and number < len(parts) - 1 else part
        its_ids, its_ends = tokenizer.ids_and_ends(own)
        ids += its_ids
        ends += [start + end for end in its_ends]
        start += len(part) + (len(prompt.placeholder_token) if prompt else 0)
    room = tokenizer.room
    if len(ids) > room:
        raise InputError(
            f'prompt "{_beginning(_written(text, prompt))}": {len(ids)} tokens, the base takes {room}; '
            f'"{_beginning(text[ends[room - 1] :])}" would be cut off, so shorten it'
        )
    category = [
        place + 1 + offset
        for place in placeholder
        if ids[place + 1 - first : place + 1 - first + len(category_ids)] == category_ids
        for offset in range(len(category_ids))
    ]
    padding = [] if tokenizer.padding is None else [tokenizer.padding] * (room - len(ids))
    return TokenizedPrompt(
        ids=((*tokenizer.before, *ids, *tokenizer.after, *padding),),
        words=range(first, first + len(ids)),
        placeholder=tuple(placeholder),
        super_category=tuple(category),
    )


def _known_ids(tokenizer: PromptReader, super_category: str) -> list[int]:
    unknown = []
    for word in super_category.split():
        ids = tokenizer.word_ids(word)
        if tokenizer.unknown in ids or (len(ids) > 1 and len(word) < _LETTERS_PER_TOKEN * len(ids)):
            unknown.append(word)
    if unknown:
        called = ", ".join(f"'{word}'" for word in unknown)
        raise InputError(
            f"super-category '{super_category}': the base does not know {called}; choose a plainer word for this kind "
            f"of thing, or two{words_instead(tokenizer.tokenizer.get_vocab(), unknown)}"
        )
    return tokenizer.word_ids(super_category)


def _rare_token_id(tokenizer: PromptReader, word: str, prompt: ConceptPrompt) -> int:
    ids = tokenizer.word_ids(word)
    if len(ids) != 1 or ids[0] == tokenizer.unknown:
        raise InputError(
            f"rare token '{word}': the base reads it as {len(ids)} tokens; choose a word that is one token"
        )
    if ids[0] in tokenizer.word_ids(prompt.super_category):
        raise InputError(
            f"rare token '{word}': part of super-category '{prompt.super_category}', so the base could not tell [V] "
            "from it; choose another"
        )
    return ids[0]


def _of_each(tokenizers: Tokenizers, read: Callable[[PromptReader], T]) -> list[T]:
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

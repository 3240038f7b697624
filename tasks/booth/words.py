"""What may be asked of a base, where it can be told: prompts to begin from, places, and the words of a small world."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from model.errors import InputError
from tasks.project.base_limits import base_folder
from tasks.project.params import load_params
from tasks.project.prompt_sets import load_prompt_set
from tasks.project.settings import Settings

MOST_WORDS = 2_000
"""A vocabulary of more is a language: anything may be asked of its base, and nobody would read the list."""
_WORD = re.compile(r"([a-z]{2,})</w>")
_SMALL = {"an", "and", "at", "by", "for", "from", "in", "is", "its", "of", "on", "over", "the", "to", "up", "with"}
"""Known too, and no help to anybody who looks for something to draw."""


@dataclass(frozen=True, kw_only=True)
class WordsAtHand:
    """What the page offers beside the field for a prompt."""

    prompts: tuple[str, ...] = ()
    """Those that the project's concepts are judged by, with {}."""
    places: tuple[str, ...] = ()
    """As prompts name them: "on the beach"."""
    words: tuple[str, ...] = ()
    """The whole vocabulary of a base of a small world, sorted; none of a base of a language, or one on the hub."""


def words_at_hand(settings: Settings) -> WordsAtHand:
    """What there is; nothing of what cannot be read, which the first page tells of."""
    try:
        params = load_params(settings.params_file)
    except InputError:
        return WordsAtHand()
    words: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    try:
        prompt_set = load_prompt_set(settings.root / params.evaluation.prompts)
        prompts, places = tuple(prompt.text for prompt in prompt_set.prompts), prompt_set.scenes
        folder = base_folder(settings, params)
        words = _words(folder) if folder else ()
    except InputError:
        pass
    return WordsAtHand(prompts=prompts, places=places, words=words)


def whole_words(vocabulary: Iterable[str], merges: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The words among a tokenizer's tokens: those that end with </w>, and are no end that longer words are put
    together with (byte-pair encoding, Sennrich et al. 2016, https://arxiv.org/abs/1508.07909)."""
    ends = {second for _, second in merges}
    found = {match[1] for token in vocabulary if token not in ends and (match := _WORD.fullmatch(token))} - _SMALL
    return tuple(sorted(found)) if len(found) <= MOST_WORDS else ()


@lru_cache(maxsize=4)
def _words(folder: Path) -> tuple[str, ...]:
    from model.bases.tokens import base_tokenizers

    tokenizer = base_tokenizers(folder, str(folder))[0].tokenizer
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model.get("type") != "BPE":  # other kinds mark their words otherwise, and are of languages
        return ()
    merges = (pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"])
    return whole_words(model["vocab"], [(first, second) for first, second in merges])

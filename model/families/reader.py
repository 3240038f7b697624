"""How a family turns prompts into tokens: what stands around the words, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PromptReader:
    """The tokenizer of a text model, and what its family puts around a prompt's own tokens."""

    tokenizer: Any
    """Of transformers. It is not changed, and many threads read by it."""
    before: tuple[int, ...]
    """Token ids before the prompt's own."""
    after: tuple[int, ...]
    """Token ids behind them; the first of them ends the prompt."""
    longest: int
    """The most tokens, those around the words among them."""
    padding: int | None = None
    """What fills prompts up to `longest`; None where they stay as long as they are."""
    space: str = ""
    """What stands before a word in a sentence and is part of its token, as in byte-level tokenizers."""
    unknown: int | None = None
    """The token of what the text model has never seen."""

    @property
    def room(self) -> int:
        """The most tokens of a prompt's own."""
        return self.longest - len(self.before) - len(self.after)

    def word_ids(self, words: str) -> list[int]:
        """Token ids of words as they stand inside a sentence."""
        return self.ids(f"{self.space}{words}") if words else []

    def ids(self, text: str) -> list[int]:
        """Token ids of a text as it is, without anything around it."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def ids_and_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids of a text, and where in it each ends."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [end for _, end in encoded["offset_mapping"]]

    def knows(self, word: str) -> bool:
        """Whether a word is an entry of the vocabulary."""
        vocabulary: dict[str, Any] = self.tokenizer.get_vocab()
        return word in vocabulary or f"{word}</w>" in vocabulary

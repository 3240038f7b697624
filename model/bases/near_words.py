"""Words that a base knows, to be named where somebody asked for one that it does not know."""

import difflib
from collections.abc import Collection

_END, _BEGINNINGS = "</w>", ("Ġ", "▁")
_SHORTEST = 3
_NEAR, _COMMON = 3, 16
_KINDS = (
    *("bottle", "cup", "bowl", "box", "bag", "toy", "stuffed animal", "animal", "person", "plant", "food", "shoe"),
    *("hat", "shirt", "lamp", "clock", "chair", "car", "house", "statue", "vase", "backpack", "book", "robot", "ring"),
)
"""Plain names of kinds of things, of which most bases know some."""


def near_words(known: Collection[str], word: str) -> list[str]:
    """Words among those that are known that are spelled nearly so; none where nothing is near."""
    # a piece of a word may stand at its end: "brella" of "umbrella"
    long = [each for each in known if len(each) >= _SHORTEST]
    found = difflib.get_close_matches(word.lower(), long, n=9, cutoff=0.7)
    return [each for each in found if not any(other != each and other.endswith(each) for other in found)][:_NEAR]


def _common_kinds(known: Collection[str]) -> list[str]:
    """Kinds of things whose words are all known, as many as a line holds."""
    return [kind for kind in _KINDS if all(part in known for part in kind.split())][:_COMMON]


def _whole_words(vocabulary: Collection[str]) -> set[str]:
    """Words as one token each, by the marks that tokenizers put behind or before them."""
    known = {token.removesuffix(_END) for token in vocabulary if token.endswith(_END)}
    return known or {token[1:] for token in vocabulary if token.startswith(_BEGINNINGS)}


def words_instead(vocabulary: Collection[str], unknown: Collection[str]) -> str:
    """The way out for words that a base does not know: near ones, and plain kinds that it knows."""
    known = _whole_words(vocabulary)
    near = list(dict.fromkeys(each for word in unknown for each in near_words(known, word)))
    kinds = [kind for kind in _common_kinds(known) if kind not in near]
    said = f"; spelled nearly so it knows {', '.join(near)}" if near else ""
    return said + (f"; plain kinds that it knows are {', '.join(kinds)}" if kinds else "")

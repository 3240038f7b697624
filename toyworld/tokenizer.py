"""A byte-pair tokenizer in CLIP's format, small enough that every word of the world is one known token."""

from collections.abc import Iterable
from itertools import pairwise

from transformers import CLIPTokenizer

from toyworld.captions import all_words

ENTRIES = 1536
LENGTH = 24  # tokens of a prompt, the two marks included
START, END = "<|startoftext|>", "<|endoftext|>"

# Words that people put into prompts. The world does not know them, but they should not fall to bytes.
_COMMON = """
the an in on of with at to and by from for under over near beside behind front inside outside top bottom left right
photo picture image painting sketch drawing poster sticker statue toy model close up view portrait style art light
black white brown grey gray gold silver golden dark bright small large tiny giant new young beautiful happy sad soft
man woman boy girl child person people dog cat bird horse bear lion tiger elephant mouse cow pig sheep monkey snake
animal stuffed plush wooden metal glass plastic paper stone leather ceramic clay bowl can bottle sunglasses hat shoe
shirt dress chair table bed lamp book door window wall floor roof street road bridge tower park garden forest river
lake sea ocean sky sun moon star cloud rain wind fire ice rock sand flower leaf plant fruit bread cake food coffee tea
eating running sitting standing sleeping flying swimming wearing holding playing riding cube shape red blue van gogh
monument building market kitchen room school ship boat train plane bicycle sunset sunrise winter summer spring autumn
"""


def build(phrases: Iterable[str] = (), *, entries: int = ENTRIES, length: int = LENGTH) -> CLIPTokenizer:
    """Train the merges on a world's phrases and pack them as a `CLIPTokenizer`; the same words give the same bytes.

    Without phrases it is the first edition's world. `length` is the tokens of a prompt, the two marks included.
    """
    symbols = _byte_symbols()
    vocabulary = [*symbols, *(s + "</w>" for s in symbols)]
    merges = _merges(_word_counts(phrases or all_words()), entries - len(vocabulary) - 2)
    vocabulary += [left + right for left, right in merges]
    while len(vocabulary) < entries - 2:  # all words are whole tokens already: keep the promised size
        vocabulary.append(f"<|unused{len(vocabulary)}|>")
    vocabulary += [START, END]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(vocabulary)},
        merges=[(left, right) for left, right in merges],
        model_max_length=length,
    )


def _byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes, as GPT-2 and CLIP order them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def _word_counts(phrases: Iterable[str]) -> dict[str, int]:
    """Words with weights: those of the world first, so that each becomes one token."""
    counts = dict.fromkeys(_COMMON.split(), 1)
    for phrase in phrases:
        for word in phrase.split():
            counts[word] = 1000
    return dict(sorted(counts.items()))


def _merges(counts: dict[str, int], limit: int) -> list[tuple[str, str]]:
    """Byte-pair encoding: join the most frequent neighbours, ties by spelling, until `limit` or nothing is left."""
    words = [([*word[:-1], word[-1] + "</w>"], count) for word, count in counts.items()]
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        pairs: dict[tuple[str, str], int] = {}
        for symbols, count in words:
            for pair in pairwise(symbols):
                pairs[pair] = pairs.get(pair, 0) + count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for symbols, _ in words:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == best:
                    symbols[i : i + 2] = ["".join(best)]
                i += 1
    return merges

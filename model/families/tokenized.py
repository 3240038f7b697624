"""One prompt as token ids."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
    """One prompt, ready for the text models."""

    ids: tuple[tuple[int, ...], ...]
    """For each text model, with what its family puts around and behind the words; the id at a place of [V] is only a
    stand-in."""
    words: range
    """Places of the prompt's own tokens, between what is put around them; the same for all text models. Behind them
    stands the token that ends the prompt."""
    placeholder: tuple[int, ...] = ()
    """Places of [V], the same for all text models."""
    super_category: tuple[int, ...] = ()
    """Places of the super-category's tokens right behind [V]."""

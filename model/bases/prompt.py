"""The words around a concept: `{}` in a prompt becomes "[V] super-category"."""

import re
from dataclasses import dataclass

from model.errors import InputError

EXAMPLE = "a photo of a {} in the snow"
MOST_LETTERS = 2_000
"""Of a prompt: no base reads so many words."""
_PLACEHOLDER = re.compile(r"<[a-z0-9][a-z0-9_-]*>")
_NO_TEXT = re.compile("[\0-\x08\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which cannot be written to any file."""
_OF_OTHERS = re.compile(r"\([^()]*:\s*\d*\.?\d+\s*\)|\(\(+|<(?:lora|lyco|hypernet):[^<>]*>|\bBREAK\b")
"""What other programs read as instructions: (word:1.3), ((word)), <lora:name:0.8>, BREAK."""


def prompt_problems(prompt: str) -> list[str]:
    """What is wrong with a prompt that should hold exactly one `{}` as a word of its own; empty if nothing."""
    if not isinstance(prompt, str) or not prompt.strip():
        return [f'prompt {prompt!r}: empty; write one such as "{EXAMPLE}"']
    if found := _NO_TEXT.search(prompt):
        return [f"prompt {prompt!a}: {found.group()!a} is no character of a text; leave it out"]
    if len(prompt) > MOST_LETTERS:
        return [f'prompt "{prompt[:60]} ...": {len(prompt):,} letters, at most {MOST_LETTERS:,} are read; shorten it']
    count = prompt.count("{}")
    if count == 0:
        return [f'prompt "{prompt}": no {{}} where the concept should stand; write it as in "{EXAMPLE}"']
    if count > 1:
        return [f'prompt "{prompt}": {count} times {{}}, only one is allowed, as in "{EXAMPLE}"']
    before, after = prompt.split("{}")
    if set("{}") & set(before + after):
        return [f'prompt "{prompt}": braces other than {{}} mean nothing to the model, leave them out']
    if placeholder := _PLACEHOLDER.search(prompt):
        return [f'prompt "{prompt}": {{}} puts the concept in by itself, so leave {placeholder.group()} out']
    if (before and before[-1].isalnum()) or (after and after[0].isalnum()):
        return [f'prompt "{prompt}": {{}} must be a word of its own, as in "{EXAMPLE}"']
    return []


def prompt_hints(prompt: str) -> list[str]:
    """What a person should know of a prompt that is drawn all the same."""
    found = list(dict.fromkeys(match.group() for match in _OF_OTHERS.finditer(prompt)))
    if not found:
        return []
    return [
        f'prompt "{prompt}": {", ".join(found)} means something to other programs; here it is read as plain words, so '
        "leave it out"
    ]


@dataclass(frozen=True)
class ConceptPrompt:
    """How a concept is called: its placeholder token [V], the super-category behind it, and the instance prompt.

    Raises InputError, with all problems, if one of the three cannot be used.
    """

    placeholder_token: str
    """The new word, such as `<turtle>`."""
    super_category: str
    """What kind of thing it is, in the base's own words, such as `turtle` or `teddy bear`."""
    template: str = "a photo of a {}"
    """The prompt of all instance images."""
    names_category: bool = True
    """Whether `{}` becomes "[V] super-category", or [V] alone."""

    def __post_init__(self) -> None:
        problems = prompt_problems(self.template)
        if not _PLACEHOLDER.fullmatch(self.placeholder_token):
            problems.append(
                f"placeholder token {self.placeholder_token!r}: small letters, digits, - and _ between < and > are "
                "needed, as in <my-turtle>"
            )
        if not self.super_category.strip():
            problems.append('super-category: empty; say what kind of thing it is, such as "teddy bear"')
        elif (
            self.super_category != " ".join(self.super_category.split())
            or set("{}<>") & set(self.super_category)
            or _NO_TEXT.search(self.super_category)
        ):
            problems.append(
                f"super-category {self.super_category!r}: plain words with single spaces are needed, such as "
                '"teddy bear"'
            )
        if problems:
            raise InputError(*problems)

    @property
    def text(self) -> str:
        """The instance prompt: "a photo of a <turtle> turtle"."""
        return self.fill(self.template)

    @property
    def class_text(self) -> str:
        """The instance prompt of the class, what class images show: "a photo of a turtle"."""
        return self.without_placeholder(self.template)

    @property
    def called(self) -> str:
        """What `{}` becomes: "<turtle> turtle", or "<turtle>"."""
        return f"{self.placeholder_token} {self.super_category}" if self.names_category else self.placeholder_token

    def fill(self, prompt: str) -> str:
        """The prompt with the concept in it: "a <turtle> turtle in the snow". InputError for a wrong one."""
        return _put(prompt, self.called)

    def without_placeholder(self, prompt: str) -> str:
        """The prompt with the super-category alone, as the untrained base reads it: "a turtle in the snow"."""
        return _put(prompt, self.super_category)


def _put(prompt: str, words: str) -> str:
    problems = prompt_problems(prompt)
    if problems:
        raise InputError(*problems)
    return prompt.replace("{}", words)

"""How people name a registered version, NAME, NAME@alias or NAME/version: read once, at the command's options."""

import re
from dataclasses import dataclass
from typing import Self

from model.errors import InputError
from tasks.concepts.concepts import check_name

CANDIDATE = "candidate"
"""Alias of what the last training of a concept registered."""
CHAMPION = "champion"
"""Alias of the version that is in use, against which others are measured."""
_REFERENCE = re.compile(r"(?P<concept>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>[1-9][0-9]*))?")


@dataclass(frozen=True, kw_only=True)
class VersionReference:
    """Which version of a concept is meant; without alias and number what the last training registered.

    InputError where the concept has a name that no concept can have.
    """

    concept: str
    alias: str | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        check_name(self.concept)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it as people write it. InputError where it is none."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InputError(
                f"model version {text!r}: write NAME, NAME@alias or NAME/version, as in turtle, turtle@{CANDIDATE} or "
                "turtle/3"
            )
        version = int(match["version"]) if match["version"] else None
        return cls(concept=match["concept"], alias=match["alias"], version=version)

    def __str__(self) -> str:
        """As people write it."""
        if self.version is not None:
            return f"{self.concept}/{self.version}"
        return f"{self.concept}@{self.alias}" if self.alias is not None else self.concept

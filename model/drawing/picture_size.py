"""How large a picture is drawn, where it is not the base's own square; knows no torch."""

import re
from dataclasses import dataclass
from typing import Self

from model.errors import InputError

_WRITTEN = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


@dataclass(frozen=True)
class PictureSize:
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The size that `96x64` says. Raises InputError."""
        said = _WRITTEN.fullmatch(text)
        if said is None:
            raise InputError(f"size {text!r}: width and height in pixels are needed, as in 768x512")
        return cls(int(said[1]), int(said[2]))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def problems(self, side: int, step: int) -> list[str]:
        """Why a base that draws squares of `side` pixels, `step` of them to a latent, does not draw this; else empty.

        Bases learnt one size: what is far from it shows two things for one, or a piece of one.
        """
        if all(side // 2 <= edge <= 2 * side and edge % step == 0 for edge in (self.width, self.height)):
            return []
        return [
            f"size {self}: this base draws {side}x{side} and, less well, sides from {side // 2} to {2 * side} pixels "
            f"in steps of {step}"
        ]

"""Whether a picture shows another one, or a part of it, mirrored or not: what perceptual hashes and pixels tell.

A hash of a whole picture does not match that of a part of it. So the picture that is asked about is laid into frames
that are larger by up to an eighth on each side, its outermost pixels repeated to fill them: the low frequencies of the
whole are near enough to find it among all hashes on record. What is found so is believed only when the pixels agree.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from PIL import Image, ImageOps

from tasks.concepts.image_checks import FINGERPRINT, NEAR_BITS, fingerprint, named_fingerprint

FRAME_BITS = 72
"""Of 255: how far a frame's hash may be from that of the picture it is a part of. Of random crops by up to a tenth of
each side none of 47 photographs and samples was farther than 68; other pictures begin at 44."""
MOST_CANDIDATES = 64
"""Pictures whose pixels are looked at for one question, the nearest ones."""
OVERLAP_BITS, OVERLAP_AGREES = 16, 0.96
"""Of what both show: most bits of the hash that may differ, and the least correlation of the pixels. Those crops have
at most 12 and at least 0.97; other pictures at least 52 and at most 0.95."""
_COMPARABLE, _ONE_COLOUR = re.compile(f"{FINGERPRINT}:[0-9a-f]{{64}}"), f"{FINGERPRINT}:{'0' * 64}"
_STEPS = (-0.08, -0.04, 0.0, 0.04, 0.08, 0.12)  # of the picture on record, cut off a side; below 0: added to it
_MOVES = (
    *((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)),  # one side
    *((1, 0, -1, 0), (0, 1, 0, -1), (1, 1, 1, 1)),  # the whole frame aside, up or down, smaller or larger
)
_LEAST, _MOST = -0.15, 0.2  # how far a side may be moved when the pixels are aligned
_ASKED, _HASHED, _FREQUENCIES, _COMPARED = 128, 64, 16, 64  # pixels a side, and frequencies


@dataclass(frozen=True, kw_only=True)
class Window:
    """Where the picture that is asked about lies in one on record, in parts of that one's sides cut off each.

    Below 0 is what it shows beyond that side.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def __str__(self) -> str:
        sides = {"on the left": self.left, "at the top": self.top, "on the right": self.right}
        sides["at the bottom"] = self.bottom
        off = [f"{share * 100:.0f} % {side}" for side, share in sides.items() if share >= 0.005]
        added = [f"{-share * 100:.0f} % {side}" for side, share in sides.items() if share <= -0.005]
        parts = [f"{word} {', '.join(named)}" for word, named in (("cut off", off), ("added", added)) if named]
        return "; ".join(parts) or "nothing cut off"

    @property
    def boxes(self) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
        """What both show: its box in the picture asked about, and in the one on record, as parts of their sides."""
        x, y = _shared(self.left, self.right), _shared(self.top, self.bottom)
        return (x[0], y[0], x[1], y[1]), (x[2], y[2], x[3], y[3])


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How a picture is like one on record."""

    bits: int
    """Of the hash's 255 that differ: of the whole pictures, or of what both show."""
    mirrored: bool
    window: Window = Window()

    @property
    def is_part(self) -> bool:
        """Whether not the whole of both pictures is alike."""
        return self.window != Window()

    @property
    def words(self) -> str:
        """How, for a person."""
        told = f"{self.bits} of 255 fingerprint bits differ"
        if self.is_part:
            kind = "a part of it" if min(_sides(self.window)) > -0.005 else "overlaps with it"
            how = f"{kind}, {self.window} ({told} where both show the same)"
        else:
            how = f"looks like it ({told})" if self.bits else "looks the same"
        return f"mirrored, {how}" if self.mirrored else how


def is_comparable(fingerprint: str) -> bool:
    """Whether a fingerprint out of a document is one, by the method of now; that of one colour alone tells nothing."""
    return bool(_COMPARABLE.fullmatch(fingerprint)) and fingerprint != _ONE_COLOUR


def patterns_of(fingerprints: Sequence[str]) -> np.ndarray:
    """The bits of fingerprints that are comparable: (n, 32) bytes."""
    digits = "".join(fingerprint.removeprefix(f"{FINGERPRINT}:") for fingerprint in fingerprints)
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, 32)


def whole_likenesses(picture: Image.Image, patterns: np.ndarray) -> dict[int, Likeness]:
    """Which of the pictures on record (n, 32) it is as a whole: resized, recompressed, slightly trimmed, mirrored."""
    found = {}
    for mirrored in (True, False):  # as it is goes before mirrored where both are near
        asked = patterns_of([named_fingerprint(_turned(picture, mirrored))])
        distances = np.bitwise_count(patterns ^ asked).sum(axis=1, dtype=np.int64)  # (n,)
        for place in np.flatnonzero(distances <= NEAR_BITS):
            found[int(place)] = Likeness(bits=int(distances[place]), mirrored=mirrored)
    return found


def candidates(picture: Image.Image, patterns: np.ndarray) -> list[tuple[int, Likeness]]:
    """Which of the pictures on record (n, 32) it may be a part of, the nearest first; `overlap` says whether it is."""
    if not len(patterns):
        return []
    words = np.ascontiguousarray(patterns).view(np.uint64)  # (n, 4)
    nearest = np.full(len(words), 256, np.int64)
    frame = np.zeros(len(words), np.int64)
    asked = np.concatenate([_frames(_turned(picture, mirrored)) for mirrored in (False, True)])
    for number, pattern in enumerate(asked.view(np.uint64)):  # (4,)
        distances = np.bitwise_count(words ^ pattern).sum(axis=1, dtype=np.int64)
        nearer = distances < nearest
        nearest[nearer], frame[nearer] = distances[nearer], number
    order = [int(place) for place in np.argsort(nearest, kind="stable")[:MOST_CANDIDATES]]
    found = []
    for place in order:
        mirrored, number = divmod(int(frame[place]), len(_windows()))
        if nearest[place] <= FRAME_BITS:
            likeness = Likeness(bits=int(nearest[place]), mirrored=bool(mirrored), window=_windows()[number])
            found.append((place, likeness))
    return found


def overlap(picture: Image.Image, recorded: Image.Image, guess: Likeness) -> Likeness | None:
    """How the two agree where both show the same, the frame moved until they do best; None where they do not."""
    asked = _turned(picture, guess.mirrored).convert("L")
    small = asked.resize((256, 256), Image.Resampling.BOX)
    known = recorded.convert("L").resize((256, 256), Image.Resampling.BOX)
    agrees, window = _aligned(small, known, guess.window)
    if agrees < OVERLAP_AGREES:
        return None
    one, other = window.boxes
    bits = int(np.count_nonzero(fingerprint(_cut(asked, one)) != fingerprint(_cut(recorded, other))))
    return Likeness(bits=bits, mirrored=guess.mirrored, window=window) if bits <= OVERLAP_BITS else None


def _aligned(asked: Image.Image, recorded: Image.Image, window: Window) -> tuple[float, Window]:
    """The window near this one by which they agree best, moved by ever smaller steps."""
    best = _agreement(asked, recorded, window)
    if best < 0.5:  # another picture: that of a good guess is above
        return best, window
    sides: tuple[float, ...] = _sides(window)
    for step in (0.02, 0.01, 0.005):
        moved = True
        while moved:
            moved = False
            for move, by in product(_MOVES, (step, -step)):
                tried = tuple(min(max(side + by * goes, _LEAST), _MOST) for side, goes in zip(sides, move, strict=True))
                agrees = _agreement(asked, recorded, _window(tried))
                if agrees > best + 1e-4:
                    best, sides, moved = agrees, tried, True
    return best, _window(sides)


def _agreement(asked: Image.Image, recorded: Image.Image, window: Window) -> float:
    """Correlation of the pixels of what both show, -1 to 1; 0 where one of them is of one colour."""
    shown = [
        np.asarray(
            picture.resize((_COMPARED, _COMPARED), Image.Resampling.BILINEAR, box=_pixels(picture, box)), np.float64
        )
        for picture, box in zip((asked, recorded), window.boxes, strict=True)
    ]
    one, other = (pixels - pixels.mean() for pixels in shown)
    size = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / size if size else 0.0


def _frames(picture: Image.Image) -> np.ndarray:
    """Hashes of the picture laid into each window: (windows, 32) bytes."""
    gray = picture.convert("L").resize((_ASKED, _ASKED), Image.Resampling.LANCZOS)
    rows = _axes() @ np.asarray(gray, np.float64)  # (pairs of top and bottom, 16, 128)
    both = np.einsum("vis,hjs->vhij", rows, _axes(), optimize=True)
    frequencies = both.reshape(len(_windows()), -1)[:, 1:]  # (windows, 255) without the mean
    return np.packbits(frequencies > np.median(frequencies, axis=1, keepdims=True), axis=1)


@cache
def _axes() -> np.ndarray:
    """Cosine transforms of one side of a frame, by what lies before and behind the picture: (pairs, 16, 128)."""
    cosines = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * (2 * np.arange(_HASHED) + 1) / (2 * _HASHED))
    samples = (np.arange(_HASHED * 8) + 0.5) / (_HASHED * 8)  # eight to a pixel of the frame
    axes = []
    for before, behind in product(_STEPS, repeat=2):
        places = np.clip((samples - before) / (1 - before - behind) * _ASKED, 0, _ASKED - 1).astype(int)
        laid = np.zeros((_HASHED, _ASKED))
        np.add.at(laid, (np.repeat(np.arange(_HASHED), 8), places), 1 / 8)
        axes.append(cosines @ laid)
    return np.stack(axes)


@cache
def _windows() -> tuple[Window, ...]:
    """The frames, in the order of `_frames`."""
    pairs = tuple(product(_STEPS, repeat=2))
    return tuple(
        Window(left=left, top=top, right=right, bottom=bottom) for top, bottom in pairs for left, right in pairs
    )


def _shared(before: float, behind: float) -> tuple[float, float, float, float]:
    """On one axis, what both show: from and to in the picture asked about, from and to in the one on record."""
    start, end = max(0.0, before), min(1.0, 1.0 - behind)
    length = 1 - before - behind
    return (start - before) / length, (end - before) / length, start, end


def _pixels(picture: Image.Image, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    width, height = picture.size
    right, bottom = min(box[2] * width, width), min(box[3] * height, height)  # rounding may lead out of it
    return box[0] * width, box[1] * height, right, bottom


def _cut(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    left, top, right, bottom = map(round, _pixels(picture, box))
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _turned(picture: Image.Image, mirrored: bool) -> Image.Image:
    return ImageOps.mirror(picture) if mirrored else picture


def _sides(window: Window) -> tuple[float, float, float, float]:
    return window.left, window.top, window.right, window.bottom


def _window(sides: tuple[float, ...]) -> Window:
    left, top, right, bottom = sides
    return Window(left=left, top=top, right=right, bottom=bottom)

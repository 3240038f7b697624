"""The images that people bring for one concept: enough, large enough, and all different."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import InputError
from tasks.concepts.image_reading import read_picture
from tasks.files.hashing import file_digest
from tasks.files.text_names import is_utf8
from tasks.pictures.kinds import is_picture

FEWEST_IMAGES, USUAL_IMAGES = 3, 8

# Of the fingerprint's 255 bits. Recompressed, resized, brightened or slightly trimmed copies differ in at most 38;
# pictures of one object in one pose before two backgrounds in at least 48, photographs from two sides in at least 100.
NEAR_BITS = 40


@dataclass(frozen=True, kw_only=True)
class CheckedImage:
    """A file that holds a usable picture."""

    path: Path
    sha256: str
    """Of the file as it was brought."""
    width: int
    height: int
    remarks: tuple[str, ...]
    """What a person should know though it is no reason to refuse the file."""


@dataclass(frozen=True, kw_only=True)
class ExaminedImages:
    """Files as they were found, those that can be learnt from and those that cannot."""

    good: tuple[CheckedImage, ...]
    """All different pictures: of several that hold the same one, the first with the most pixels."""
    refused: Mapping[Path, str]
    """One sentence for each file that is bad by itself."""
    repeated: Mapping[Path, str]
    """One sentence for each group of files that hold the same picture, by every file of it that is not in `good`."""

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is wrong, each once."""
        found = [*self.refused.values(), *dict.fromkeys(self.repeated.values())]
        usable = len(self.good)
        if usable < FEWEST_IMAGES:
            found.append(
                f"{usable} usable image{'' if usable == 1 else 's'}, at least {FEWEST_IMAGES} different ones are "
                f"needed ({FEWEST_IMAGES} to {USUAL_IMAGES} are usual)"
            )
        return tuple(found)


def inspect_images(paths: Sequence[Path], min_pixels: int) -> tuple[CheckedImage, ...]:
    """Check the files of an image set; the short side of each must have `min_pixels`.

    Raises:
        InputError: all problems of all files: unreadable, too small, twice the same picture, too few pictures.
    """
    found = examine_images(paths, min_pixels)
    if found.problems:
        raise InputError(*found.problems)
    return found.good


def examine_images(paths: Sequence[Path], min_pixels: int) -> ExaminedImages:
    """Look at the files of an image set; see `inspect_images`."""
    refused: dict[Path, str] = {}
    good: list[CheckedImage] = []
    digests: list[str] = []
    fingerprints: list[np.ndarray] = []
    for path in paths:
        try:
            picture = read_picture(path)
        except InputError as error:
            refused[path] = "; ".join(error.problems)
            continue
        width, height = picture.pixels.size
        if min(width, height) < min_pixels:
            refused[path] = (
                f"{path}: {width} x {height} pixels, the short side must have at least {min_pixels}; bring it in a "
                "larger size, or leave it out"
            )
            continue
        digests.append(hashlib.sha256(repr(picture.pixels.size).encode() + picture.pixels.tobytes()).hexdigest())
        fingerprints.append(fingerprint(picture.pixels))
        good.append(
            CheckedImage(path=path, sha256=file_digest(path), width=width, height=height, remarks=picture.remarks)
        )

    different: dict[int, list[int]] = {}  # the first image of each picture, and those that hold it again
    for index in range(len(good)):
        near = (first for first in different if _bits(fingerprints[first], fingerprints[index]) <= NEAR_BITS)
        if (first := next(near, None)) is None:
            different[index] = []
        else:
            different[first].append(index)
    kept: list[int] = []
    repeated: dict[Path, str] = {}
    for first, again in different.items():
        group = (first, *again)
        largest = max(group, key=lambda index: (good[index].width * good[index].height, -index))
        kept.append(largest)
        if again:
            *others, last = (str(good[index].path) for index in group)
            how = "the same picture"
            if any(digests[index] != digests[first] for index in again):
                most = max(_bits(fingerprints[first], fingerprints[index]) for index in again)
                how = f"nearly the same picture (of 255 fingerprint bits {most} differ, more than {NEAR_BITS} must)"
            said = f"{', '.join(others)} and {last} hold {how}: keep one of them"
            repeated |= {good[index].path: said for index in group if index != largest}
    return ExaminedImages(good=tuple(good[index] for index in sorted(kept)), refused=refused, repeated=repeated)


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """Image files among the files and folders that were named."""

    files: tuple[Path, ...]
    left_aside: tuple[Path, ...]
    """What else lies in the folders."""
    problems: tuple[str, ...]
    """Folders without any."""


def find_images(paths: Iterable[Path]) -> FoundImages:
    """The image files that are named, and those in the folders that are: sorted, without their subfolders."""
    found: list[Path] = []
    aside: list[Path] = []
    problems: list[str] = []
    for path in paths:
        if not path.is_dir():  # a file that is not there is complained of with the others
            found.append(path)
            continue
        before = len(found)
        try:
            entries = sorted(path.iterdir())
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
            continue
        for entry in entries:
            (found if is_picture(entry) else aside).append(entry)
        if len(found) == before:
            problems.append(
                f"{path}: no image in this folder, and subfolders are not looked into; name one with 3 to 8"
            )
    problems += [
        f"{ascii(str(file))[1:-1]}: a name that is not UTF-8; rename it" for file in found if not is_utf8(file.name)
    ]
    unique = {path.resolve(): path for path in reversed(found)}  # a file named twice is one image
    return FoundImages(files=tuple(reversed(unique.values())), left_aside=tuple(aside), problems=tuple(problems))


def pictures_among(files: Mapping[str, Path]) -> dict[str, Path]:
    """The pictures among an image set's files, in their order, as `find_images` tells them.

    What else lies there, such as captions that were put beside the images, is in the set and is not learnt from.
    """
    return {name: path for name, path in files.items() if is_picture(path)}


def _bits(one: np.ndarray, other: np.ndarray) -> int:
    """In how many bits two fingerprints differ."""
    return int(np.count_nonzero(one != other))


def fingerprint(picture: Image.Image) -> np.ndarray:
    """A perceptual hash, (255,) booleans: which low frequencies of a 64 x 64 gray thumbnail lie above their median.

    The "pHash" of image search (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions") with
    16 x 16 instead of 8 x 8 frequencies: the concept is the same in all images, so the finer ones must tell them apart.
    """
    thumbnail = picture.convert("L").resize((64, 64), Image.Resampling.LANCZOS)
    # the cosine transform as a matrix: row k is cos(pi k (2x + 1) / 2N)
    cosines = np.cos(np.pi * np.arange(16)[:, None] * (2 * np.arange(64) + 1) / 128)
    frequencies = (cosines @ np.asarray(thumbnail, np.float64) @ cosines.T).ravel()[1:]  # (255,) without the mean
    return frequencies > np.median(frequencies)


FINGERPRINT = "phash255"
"""Name of the fingerprint's method (`tasks.concepts.image_checks.fingerprint`), so that another one can never be
compared with it."""


def named_fingerprint(picture: Image.Image) -> str:
    """The picture's fingerprint after the name of its method: 255 bits as 64 hex digits, the last bit 0."""
    return f"{FINGERPRINT}:{np.packbits(fingerprint(picture)).tobytes().hex()}"

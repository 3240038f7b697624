"""Images that people bring: refuse what cannot be trusted, and turn the rest into plain upright sRGB pixels."""

import hashlib
import itertools
import stat
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageCms, ImageOps

from model.errors import InputError

FEWEST_IMAGES, USUAL_IMAGES = 3, 8
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
"""What Pillow may open: its other decoders (EPS runs Ghostscript) have no business with files from outside."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".gif", ".heic", ".heif", ".jxl")
"""Files in a folder that are meant as images; the last three are refused by name instead of being passed over."""

_GRAY_16 = ("I;16", "I;16L", "I;16B")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", *_GRAY_16}
_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
MOST_PIXELS = 80_000_000  # 240 MB once decoded; a 20000 x 20000 PNG of 400 kB would take 1.2 GB
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
class _Picture:
    pixels: Image.Image
    remarks: tuple[str, ...]


def normalise_image(path: Path) -> Image.Image:
    """The picture in a file as upright 8-bit sRGB: transparency over white, no metadata.

    Raises:
        InputError: the file holds no single picture that can be decoded whole.
    """
    return _read(path).pixels


def inspect_images(paths: Sequence[Path], min_pixels: int) -> tuple[CheckedImage, ...]:
    """Check the files of an image set; the short side of each must have `min_pixels`.

    Raises:
        InputError: all problems of all files: unreadable, too small, twice the same picture, too few pictures.
    """
    problems: list[str] = []
    good: list[CheckedImage] = []
    digests: list[str] = []
    fingerprints: list[np.ndarray] = []
    for path in paths:
        try:
            picture = _read(path)
        except InputError as error:
            problems += error.problems
            continue
        width, height = picture.pixels.size
        if min(width, height) < min_pixels:
            problems.append(f"{path}: {width} x {height} pixels, the short side must have at least {min_pixels}")
            continue
        digests.append(hashlib.sha256(repr(picture.pixels.size).encode() + picture.pixels.tobytes()).hexdigest())
        fingerprints.append(fingerprint(picture.pixels))
        with path.open("rb") as file:
            file_digest = hashlib.file_digest(file, "sha256").hexdigest()
        good.append(CheckedImage(path=path, sha256=file_digest, width=width, height=height, remarks=picture.remarks))

    repeated = set()
    for first, second in itertools.combinations(range(len(good)), 2):
        if digests[first] == digests[second]:
            how = "hold the same picture"
        elif (bits := int(np.count_nonzero(fingerprints[first] != fingerprints[second]))) <= NEAR_BITS:
            how = f"hold nearly the same picture ({bits} of 255 fingerprint bits differ, more than {NEAR_BITS} must)"
        else:
            continue
        problems.append(f"{good[first].path} and {good[second].path} {how}: leave one out")
        repeated.add(second)
    usable = len(good) - len(repeated)
    if usable < FEWEST_IMAGES:
        problems.append(
            f"{usable} usable image{'' if usable == 1 else 's'}, at least {FEWEST_IMAGES} different ones are needed "
            f"({FEWEST_IMAGES} to {USUAL_IMAGES} are usual)"
        )
    if problems:
        raise InputError(*problems)
    return tuple(good)


def find_images(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Image files among files and folders (sorted, not their subfolders), and what was left aside in the folders."""
    found: list[Path] = []
    aside: list[Path] = []
    for path in paths:
        if not path.is_dir():  # a file that is not there is complained of with the others
            found.append(path)
            continue
        for entry in sorted(path.iterdir()):
            is_image = entry.suffix.lower() in SUFFIXES and not entry.is_dir() and not entry.name.startswith(".")
            (found if is_image else aside).append(entry)
    unique = {path.resolve(): path for path in reversed(found)}  # a file named twice is one image
    return list(reversed(unique.values())), aside


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


def _read(path: Path) -> _Picture:
    """Decode one file with every check that does not need its neighbours."""
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"{path}: not a file")
    if state.st_size == 0:
        raise InputError(f"{path}: empty, 0 bytes")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels, remarks = _to_srgb(_decode(path))
    remarks += [str(warning.message).strip() for warning in caught]
    return _Picture(pixels=pixels, remarks=tuple(f"{path}: {remark}" for remark in remarks))


def _decode(path: Path) -> Image.Image:
    """The only picture of a file, upright. Size and number of frames are read from the header before any pixel."""
    Image.init()  # Pillow knows only the formats that it has loaded
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(_too_large(path, f"{opened.width} x {opened.height} pixels"))
            frames = getattr(opened, "n_frames", 1)
            # the further frames of a multi-picture JPEG are its maker's previews and depth maps, not an animation
            if frames > 1 and opened.format != "MPO":
                raise InputError(
                    f"{path}: animated or of several pages ({frames} in one {opened.format}); save one picture"
                )
            if opened.mode not in _MODES:
                raise InputError(f"{path}: pixels of mode {opened.mode} have no fixed range; save it with 8 or 16 bits")
            opened.load()
            return ImageOps.exif_transpose(opened)
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, before it tells the size
        raise InputError(_too_large(path, str(error))) from error
    except Image.UnidentifiedImageError as error:
        known = "JPEG, PNG, WebP, TIFF, BMP, AVIF or GIF"
        raise InputError(f"{path}: not an image, whatever its name says; {known} is needed") from error
    except Exception as error:  # decoders raise whatever the broken bytes lead them to
        raise InputError(f"{path}: damaged, cannot be decoded whole ({error})") from error


def _too_large(path: Path, size: str) -> str:
    return f"{path}: too large to decode safely, {size}; at most {MOST_PIXELS:,} pixels are taken: scale it down first"


def _to_srgb(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """8-bit RGB in sRGB, with transparent parts over white, and remarks on profiles that could not be used."""
    profile = picture.info.get("icc_profile")
    if picture.mode in _GRAY_16:
        picture = _gray_8(picture)
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colours, remarks = _apply_profile(_opaque(picture), profile)
    flat = Image.new("RGB", colours.size, "white")  # new, so that no metadata comes along
    flat.paste(colours, mask=alpha)
    return flat, remarks


def _opaque(picture: Image.Image) -> Image.Image:
    """The colours without transparency, in the mode nearest to the file's own: L, CMYK or RGB."""
    if picture.mode in ("L", "LA", "1"):
        return picture.convert("L")
    if picture.mode == "CMYK":
        return picture
    if picture.has_transparency_data:
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")


def _apply_profile(colours: Image.Image, icc: bytes | None) -> tuple[Image.Image, list[str]]:
    if not icc:
        return colours.convert("RGB"), []
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        mode = _PROFILE_MODES.get(profile.profile.xcolor_space)
        if mode is None or (mode != colours.mode and (mode, colours.mode) != ("RGB", "L")):
            space = profile.profile.xcolor_space.strip()
            return colours.convert("RGB"), [f"colour profile for {space} left out, the pixels are {colours.mode}"]
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(colours.convert(mode), profile, srgb, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError) as error:
        return colours.convert("RGB"), [f"colour profile left out, it is damaged ({error}): taken as sRGB"]
    return cast(Image.Image, converted), []  # it would be None only if asked to work in place


def _gray_8(picture: Image.Image) -> Image.Image:
    """16-bit gray scaled to 8 bits (Pillow's own conversion clips at 255), with its transparent value as alpha."""
    values = np.asarray(picture).astype(np.uint32)  # (height, width)
    gray = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if "transparency" not in picture.info:
        return gray
    alpha = np.where(values == picture.info["transparency"], 0, 255).astype(np.uint8)
    return Image.merge("LA", (gray, Image.fromarray(alpha)))

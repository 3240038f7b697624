"""One image file from outside: refused if it cannot be trusted, else plain upright sRGB pixels."""

import re
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from model.errors import InputError
from model.reading.files import read_file
from model.reading.pictures import MOST_PIXELS, open_picture
from tasks.pictures.colours import converted
from tasks.pictures.essentials import Essentials, essentials
from tasks.pictures.jpeg_ends import with_end
from tasks.pictures.kinds import HEAD_BYTES, NOT_READ, kind_of
from tasks.pictures.orientation import upright
from tasks.pictures.tiff_tags import zero_is_white

MOST_BYTES = 2**30
"""Of a file: 80 million pixels of eight bytes, and room."""
_COPY_AGAIN = "copy it again from the original, or leave it out"
_GRAY_16 = ("I;16", "I;16L", "I;16B")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", *_GRAY_16}
_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a file holds, ready to be learnt from."""

    pixels: Image.Image
    remarks: tuple[str, ...]


def normalise_image(path: Path) -> Image.Image:
    """The picture in a file as upright 8-bit sRGB: transparency over white, no metadata.

    Raises:
        InputError: the file holds no single picture that can be decoded whole.
    """
    return read_picture(path).pixels


def read_picture(path: Path) -> Picture:
    """Decode one file with every check that does not need its neighbours."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check its name") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"{path}: not a file; leave it out")
    if state.st_size == 0:
        raise InputError(f"{path}: empty, 0 bytes; {_COPY_AGAIN}")
    parts = essentials(read_file(path, str(path), MOST_BYTES))
    if parts.refusal:
        raise InputError(f"{path}: {parts.refusal}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoded = _decode(path, parts.content)
        try:
            pixels, remarks = _to_srgb(decoded, parts)
        except Exception as error:  # a palette that is not there, say: Pillow meets it when the colours are asked for
            raise InputError(f"{path}: damaged, its colours cannot be read ({error!r}); {_COPY_AGAIN}") from error
    remarks += [*parts.remarks, *(str(warning.message).strip() for warning in caught)]
    return Picture(pixels=pixels, remarks=tuple(f"{path}: {remark}" for remark in dict.fromkeys(remarks)))


def _decode(path: Path, content: bytes) -> Image.Image:
    """The only picture of a file, upright. Size and number of frames are read from the header before any pixel."""
    try:
        return _loaded(path, content)
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # by the header
        raise InputError(_too_large(path, int(re.findall(r"\d+", str(error))[0]))) from error
    except Image.UnidentifiedImageError as error:
        kind = NOT_READ.get(path.suffix.lower()) or kind_of(content[:HEAD_BYTES])
        if kind in NOT_READ.values():
            raise InputError(f"{path}: {kind} is not read; export it as JPEG or PNG") from error
        if kind is not None:
            raise InputError(
                f"{path}: damaged, cannot be decoded whole (no picture in this {kind}); {_COPY_AGAIN}"
            ) from error
        known = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF"
        raise InputError(f"{path}: not an image, whatever its name says; {known} is needed") from error
    except Exception as error:  # decoders raise whatever the broken bytes lead them to
        if kind_of(content[:HEAD_BYTES]) == "JPEG" and (whole := with_end(content)):
            return _loaded(path, whole)
        raise InputError(f"{path}: damaged, cannot be decoded whole ({error}); {_COPY_AGAIN}") from error


def _loaded(path: Path, content: bytes) -> Image.Image:
    with open_picture(content) as opened:
        frames = getattr(opened, "n_frames", 1)
        # the further frames of a multi-picture JPEG are its maker's previews and depth maps, not an animation
        if frames > 1 and opened.format != "MPO":
            raise InputError(
                f"{path}: animated or of several pages ({frames} in one {opened.format}); save one picture"
            )
        if opened.mode not in _MODES:
            raise InputError(f"{path}: pixels of mode {opened.mode} have no fixed range; save it with 8 or 16 bits")
        white_on_black = opened.mode in _GRAY_16 and opened.format == "TIFF" and zero_is_white(content)
        opened.load()
        if white_on_black:  # Pillow turns only 8 bits round
            turned = Image.fromarray(65535 - np.asarray(opened))
            turned.info, turned.format = dict(opened.info), opened.format
            return turned
        return upright(opened)


def _too_large(path: Path, pixels: int) -> str:
    return f"{path}: {pixels:,} pixels are too many to decode safely, at most {MOST_PIXELS:,} are; scale it down first"


def _to_srgb(picture: Image.Image, parts: Essentials) -> tuple[Image.Image, list[str]]:
    """8-bit RGB in sRGB, with transparent parts over white, and remarks on profiles that could not be used."""
    profile = parts.icc or picture.info.get("icc_profile")
    if picture.mode in _GRAY_16:
        picture = _gray_8(picture)
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colours, remarks = _opaque(picture), list[str]()
    if parts.encoding:
        colours = converted(colours, parts.encoding)
    else:
        colours, remarks = _apply_profile(colours, profile)
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
    except (OSError, ImageCms.PyCMSError, UnicodeDecodeError) as error:  # the last: of its space's name
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

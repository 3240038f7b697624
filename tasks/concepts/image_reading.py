"""One image file from outside: refused if it cannot be trusted, else plain upright sRGB pixels."""

import re
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageCms, ImageOps

from model.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
"""What Pillow may open: its other decoders (EPS runs Ghostscript) have no business with files from outside."""
NOT_READ = (".heic", ".heif", ".jxl")
"""What cameras write and Pillow cannot read."""
MOST_PIXELS = 80_000_000  # 240 MB once decoded; a 20000 x 20000 PNG of 400 kB would take 1.2 GB

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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels, remarks = _to_srgb(_decode(path))
    remarks += [str(warning.message).strip() for warning in caught]
    return Picture(pixels=pixels, remarks=tuple(f"{path}: {remark}" for remark in remarks))


def _decode(path: Path) -> Image.Image:
    """The only picture of a file, upright. Size and number of frames are read from the header before any pixel."""
    Image.init()  # Pillow knows only the formats that it has loaded
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(_too_large(path, opened.width * opened.height))
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
    except Image.DecompressionBombError as error:  # Pillow's own limit, before it tells the size otherwise
        raise InputError(_too_large(path, int(re.findall(r"\d+", str(error))[0]))) from error
    except Image.UnidentifiedImageError as error:
        if (suffix := path.suffix.lower()) in NOT_READ:
            raise InputError(f"{path}: {suffix[1:].upper()} is not read; export it as JPEG or PNG") from error
        known = "JPEG, PNG, WebP, TIFF, BMP, AVIF or GIF"
        raise InputError(f"{path}: not an image, whatever its name says; {known} is needed") from error
    except Exception as error:  # decoders raise whatever the broken bytes lead them to
        raise InputError(f"{path}: damaged, cannot be decoded whole ({error}); {_COPY_AGAIN}") from error


def _too_large(path: Path, pixels: int) -> str:
    return f"{path}: {pixels:,} pixels are too many to decode safely, at most {MOST_PIXELS:,} are; scale it down first"


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

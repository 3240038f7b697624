"""How a picture has to be turned to stand upright: one number of its EXIF, whatever else is wrong with that."""

import re
import struct
from typing import Any

from PIL import Image

_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TAG, _SHORT, _LONG = 0x0112, 3, 4
_XMP = re.compile(r"tiff:Orientation(?:=\"|>)\s*([1-8])")


def upright(picture: Image.Image) -> Image.Image:
    """The loaded picture as it was taken. A TIFF stands upright already: Pillow turns it while it loads."""
    method = None if picture.format == "TIFF" else _METHODS.get(_orientation(picture.info))
    return picture if method is None else picture.transpose(method)


def _orientation(info: dict[Any, Any]) -> int:
    """1 to 8; 1, upright, where nothing says it."""
    exif = info.get("exif")
    if not isinstance(exif, bytes):
        exif = _raw_profile(info.get("Raw profile type exif") or info.get("Raw profile type APP1"))
    if found := _of_exif(exif.removeprefix(b"Exif\0\0")):
        return found
    xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or ""
    said = _XMP.search(xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp))
    return int(said[1]) if said else 1


def _raw_profile(text: Any) -> bytes:
    """What ImageMagick writes: a line break, a name, a length, then lines of hexadecimal digits."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:]))
    except ValueError:
        return b""


def _of_exif(exif: bytes) -> int:
    """The orientation in the first directory of an EXIF block; 0 where it says none. No other tag is looked at."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", exif, place)
            if tag == _TAG and number == 1 and kind in (_SHORT, _LONG):
                (value,) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", exif, place + 8)
                return value if 1 <= value <= 8 else 0
    except struct.error:
        pass
    return 0

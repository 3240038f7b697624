"""What a picture file says beside its pixels that may tell of a person or a place: Exif, XMP, IPTC, texts."""

from collections.abc import Iterator
from typing import Any

from PIL import Image

from model.reading.pictures import open_picture
from tasks.pictures.kinds import HEAD_BYTES, kind_of
from tasks.pictures.png_chunks import chunk_names

_GPS_IFD = 0x8825
_PNG = {b"eXIf": "Exif", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text"}
_INFO = {"xmp": "XMP", "XML:com.adobe.xmp": "XMP", "photoshop": "IPTC", "comment": "a comment"}
"""By how Pillow calls them."""


def metadata_kinds(content: bytes) -> tuple[str, ...]:
    """Kinds of metadata in a picture file, a GPS position first; none for what cannot be opened.

    Colour profiles and resolutions are not among them: they tell of no person.
    """
    try:
        found = set(_found(content))
    except Exception:  # noqa: BLE001 - decoders raise whatever broken bytes lead them to; who learns from it says so
        return ()
    return tuple(sorted(found, key=lambda kind: (not kind.startswith("a GPS"), kind)))


def _found(content: bytes) -> Iterator[str]:
    if kind_of(content[:HEAD_BYTES]) == "PNG":
        names = set(chunk_names(content))
        yield from (kind for name, kind in _PNG.items() if name in names)
        if b"eXIf" not in names:
            return
    with open_picture(content) as picture:
        yield from (kind for name, kind in _INFO.items() if picture.info.get(name))
        exif = picture.getexif()
        told: dict[int, Any] = dict(exif)
        if picture.format == "TIFF":  # its own tags are how it is stored, and stand in the same place
            told = {tag: value for tag, value in told.items() if tag in (_GPS_IFD, 0x8769)}
        if told:
            yield "Exif"
        if _GPS_IFD in told and _has_position(exif):
            yield "a GPS position"


def _has_position(exif: Image.Exif) -> bool:
    return any(tag in exif.get_ifd(_GPS_IFD) for tag in (2, 4))

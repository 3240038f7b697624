"""What a picture file says beside its pixels that may tell of a person or a place: Exif, XMP, IPTC, texts.

Found by the containers' own marks, without a decoder: a list of a thousand concepts asks this of all their images.
"""

import re
import struct
from collections.abc import Iterator

from tasks.pictures.kinds import HEAD_BYTES, kind_of
from tasks.pictures.png_chunks import chunk_names

POSITION = "a GPS position"
_PNG = {b"eXIf": "Exif", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text"}
_XMP, _IPTC, _COMMENT = "XMP", "IPTC", "a comment"
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_GPS_TAG, _XMP_TAG, _IPTC_TAG, _EXIF_TAG = 0x8825, 700, 33723, 0x8769
_TOLD_TAGS = {270, 271, 272, 306, 315, 316, 33432}
"""Description, make, model, time, artist, computer, copyright: a TIFF has them among its own."""
_LATITUDE, _LONGITUDE = 2, 4
_MOST_ENTRIES = 1000


def metadata_kinds(content: bytes) -> tuple[str, ...]:
    """Kinds of metadata in a picture file, a GPS position first.

    Colour profiles and resolutions are not among them: they tell of no person.
    """
    kind = kind_of(content[:HEAD_BYTES])
    found = set(_LOOK[kind](content)) if kind in _LOOK else set()
    return tuple(sorted(found, key=lambda name: (name != POSITION, name)))


def _of_png(content: bytes) -> Iterator[str]:
    names = chunk_names(content)
    yield from (_PNG[name] for name in names if name in _PNG)
    if b"eXIf" in names:
        yield from _of_exif(content[content.index(b"eXIf") + 4 :])


def _of_jpeg(content: bytes) -> Iterator[str]:
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker in (0xDA, 0xD9):  # pixels begin, or there are none
            return
        data = content[place + 4 : place + 2 + length]
        if marker == 0xE1 and data.startswith(b"Exif\0"):
            yield from _of_exif(data[6:])
        elif marker == 0xE1 and data.startswith(_XMP_MARK[:-1]):
            yield from _of_xmp(data)
        elif marker == 0xED:
            yield _IPTC
        elif marker == 0xFE:
            yield _COMMENT
        place += 2 + max(length, 2)


def _of_webp(content: bytes) -> Iterator[str]:
    place = 12
    while place + 8 <= len(content):
        name, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        data = content[place + 8 : place + 8 + length]
        if name == b"EXIF":
            yield from _of_exif(data.removeprefix(b"Exif\0\0"))
        elif name == b"XMP ":
            yield from _of_xmp(data)
        place += 8 + length + length % 2


def _of_tiff(content: bytes) -> Iterator[str]:
    """Most of a TIFF's own tags say how it is stored."""
    tags = _tags(content)
    if not _TOLD_TAGS.isdisjoint(tags):
        yield "text"
    if _XMP_TAG in tags:
        yield _XMP
    if _IPTC_TAG in tags:
        yield _IPTC
    if _EXIF_TAG in tags or _GPS_TAG in tags:
        yield from _of_exif(content)


def _of_boxes(content: bytes) -> Iterator[str]:
    """HEIC and AVIF: items of these types; where an Exif block lies is asked of its own beginning."""
    head = content[: 2**16]
    if b"infe" in head and re.search(rb"infe.{4}.{4,6}Exif", head, re.DOTALL):
        yield "Exif"
        for start in re.finditer(rb"Exif\0\0(?=II\*\0|MM\0\*)", content):
            yield from _of_exif(content[start.end() :])
    if b"application/rdf+xml" in head:
        yield _XMP


def _of_exif(block: bytes) -> Iterator[str]:
    yield "Exif"
    tags = _tags(block)
    if _GPS_TAG in tags:
        position = _tags(block, tags[_GPS_TAG])
        if _LATITUDE in position or _LONGITUDE in position:
            yield POSITION


def _of_xmp(data: bytes) -> Iterator[str]:
    yield _XMP
    if b"exif:GPSLatitude" in data or b"exif:GPSLongitude" in data:
        yield POSITION


def _tags(block: bytes, start: int | None = None) -> dict[int, int]:
    """The tags of a directory of a TIFF structure, each with its four bytes as a number; none where it is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return {}
    try:
        place = struct.unpack_from(f"{order}I", block, 4)[0] if start is None else start
        (count,) = struct.unpack_from(f"{order}H", block, place)
        places = (place + 2 + 12 * number for number in range(min(count, _MOST_ENTRIES)))
        return {tag: value for tag, _, _, value in (struct.unpack_from(f"{order}HHII", block, at) for at in places)}
    except struct.error:
        return {}


_LOOK = {"PNG": _of_png, "JPEG": _of_jpeg, "WEBP": _of_webp, "TIFF": _of_tiff, "HEIC": _of_boxes, "AVIF": _of_boxes}

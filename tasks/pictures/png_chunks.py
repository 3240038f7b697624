"""The chunks of a PNG: those that hold pixels go to the decoder, those that tell of colours are read here.

Pillow refuses a whole picture for a text with a wrong checksum, a resolution of three bytes or a profile of more than a
megabyte; nobody needs these to see it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"fcTL", b"fdAT")
"""Kept as they are, with their checksums: what is wrong in them is wrong in the picture."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNING = (b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")
"""Texts that may say how the camera was held."""
_MOST_TEXT, _MOST_PROFILE = 2**20 - 1, 16 * 2**20
_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(kw_only=True)
class PngParts:
    """A PNG without what does not decide how it looks, and what it says of its colours."""

    content: bytes = b""
    cicp: tuple[int, int, int, int] | None = None
    """Primaries, curve, matrix, whether levels take the whole range: codes of ITU-T H.273."""
    icc: bytes | None = None
    srgb: bool = False
    gamma: float | None = None
    """Exponent from light to level."""
    chromaticities: tuple[float, ...] | None = None
    """White, red, green and blue as x and y."""
    remarks: tuple[str, ...] = ()


def png_parts(content: bytes) -> PngParts:
    """Take a PNG apart; one that ends too early or in garbage keeps what is there."""
    parts, kept, ended = PngParts(), [SIGNATURE], False
    for name, start, end in _chunks(content):
        data = content[start + 8 : end - 4]
        whole = end <= len(content)
        if name in _PIXELS or (name == b"acTL" and len(data) == 8):
            kept.append(content[start:end])
            ended = not whole
        elif name == b"IEND":
            break
        elif whole and zlib.crc32(name + data) == int.from_bytes(content[end - 4 : end], "big"):
            if name == b"eXIf" or (name in _TEXTS and _turns(name, data)):
                kept.insert(2, content[start:end])  # behind IHDR
            else:
                _read_colours(parts, name, data)
    parts.content = b"".join(kept) + (b"" if ended else _END)
    return parts


def chunk_names(content: bytes) -> tuple[bytes, ...]:
    """Names of all chunks up to the end of the picture, in their order."""
    names = []
    for name, _, _ in _chunks(content):
        names.append(name)
        if name == b"IEND":
            break
    return tuple(names)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk; the end of the last may lie behind the file's."""
    start = len(SIGNATURE)
    while start + 8 <= len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        yield content[start + 4 : start + 8], start, end
        start = end


def _turns(name: bytes, data: bytes) -> bool:
    """Whether a text may say how the picture lies, and can be unpacked within bounds."""
    keyword, _, rest = data.partition(b"\0")
    if keyword not in _TURNING or len(data) > _MOST_TEXT:
        return False
    if name == b"tEXt":
        return True
    packed = rest[1:]
    if name == b"iTXt":
        if len(rest) < 2 or rest.count(b"\0", 2) < 2:
            return False
        packed = rest[2:].split(b"\0", 2)[2] if rest[0] else b""
    return not packed or _unpacked(packed, _MOST_TEXT) is not None


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """What zlib packed; None if it is damaged or more than `most` bytes."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(packed, most)
    except zlib.error:
        return None
    return found if unpacker.eof else None


def _read_colours(parts: PngParts, name: bytes, data: bytes) -> None:
    """Take down what a sound chunk says of colours; the first of a kind counts."""
    if name == b"cICP" and len(data) == 4 and parts.cicp is None:
        parts.cicp = (data[0], data[1], data[2], data[3])
    elif name == b"sRGB" and len(data) == 1 and data[0] < 4:
        parts.srgb = True
    elif name == b"gAMA" and len(data) == 4 and parts.gamma is None:
        parts.gamma = int.from_bytes(data, "big") / 100_000 or None
    elif name == b"cHRM" and len(data) == 32 and parts.chromaticities is None:
        parts.chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", data))
    elif name == b"iCCP" and parts.icc is None:
        called, _, rest = data.partition(b"\0")
        profile = _unpacked(rest[1:], _MOST_PROFILE) if called and rest[:1] == b"\0" else None
        if profile is None:
            parts.remarks += ("colour profile left out, it is damaged or too large: taken as sRGB",)
        parts.icc = profile

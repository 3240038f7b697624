"""Picture files from their parts, for what Pillow itself does not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd9"
_SIDE = 48


def picture(seed: int = 1, width: int = _SIDE, height: int = 40) -> Image.Image:
    """Soft patches in all colours."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


def srgb_light(levels: np.ndarray) -> np.ndarray:
    """Light (0..1) of sRGB levels (0..1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def srgb_levels(light: np.ndarray) -> np.ndarray:
    """sRGB levels (0..1) of light (0..1)."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def chunk(name: bytes, content: bytes, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(image: Image.Image, *before: bytes, after: bytes = b"", end: bytes | None = None) -> bytes:
    """A PNG of an image, with chunks before and after its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    content, parts, start = buffer.getvalue(), [], 8
    while start < len(content):
        stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
        parts.append(content[start:stop])
        start = stop
    header, *middle, last = parts
    return PNG + header + b"".join(before) + b"".join(middle) + after + (last if end is None else end)


def png_16(levels: np.ndarray, *before: bytes) -> bytes:
    """A PNG of 16 bits a channel from levels (height, width, 3) in 0..1."""
    rows = (levels * 65535).round().astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, 2, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(data))
    return PNG + chunk(b"IHDR", header) + b"".join(before) + idat + chunk(b"IEND", b"")


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*xy: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))


def cicp(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def tiff(image: np.ndarray, *, planar: int, extra: tuple[tuple[int, int, int, bytes], ...] = ()) -> bytes:
    """An uncompressed TIFF, little-endian, of an array (height, width, channels), with further tags."""
    height, width, channels = image.shape
    little = image.astype(f"<u{image.itemsize}")
    planes = [little[..., channel].tobytes() for channel in range(channels)] if planar == 2 else [little.tobytes()]
    data = b"".join(planes)
    tags = [
        (256, 4, 1, struct.pack("<I", width)),
        (257, 4, 1, struct.pack("<I", height)),
        (258, 3, channels, struct.pack(f"<{channels}H", *[8 * image.itemsize] * channels)),
        (259, 3, 1, struct.pack("<HH", 1, 0)),
        (262, 3, 1, struct.pack("<HH", 2 if channels == 3 else 0, 0)),
        (273, 4, len(planes), b""),
        (277, 3, 1, struct.pack("<HH", channels, 0)),
        (278, 4, 1, struct.pack("<I", height)),
        (279, 4, len(planes), struct.pack(f"<{len(planes)}I", *map(len, planes))),
        (284, 3, 1, struct.pack("<HH", planar, 0)),
        *extra,
    ]
    tags.sort(key=lambda tag: tag[0])
    after = 8 + 2 + 12 * len(tags) + 4
    sizes = sum(len(value) for _, _, _, value in tags if len(value) > 4) + 4 * len(planes)
    offsets = [after + sizes + sum(map(len, planes[:number])) for number in range(len(planes))]
    directory, values = struct.pack("<H", len(tags)), b""
    for tag, kind, count, value in tags:
        value = struct.pack(f"<{len(offsets)}I", *offsets) if tag == 273 else value
        if len(value) > 4:
            directory += struct.pack("<HHII", tag, kind, count, after + len(values))
            values += value
        else:
            directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + values.ljust(sizes, b"\0") + data


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block, little-endian, of (tag, type, count, four bytes)."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3].ljust(4, b"\0") for tag in sorted(tags))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


TURNED = (0x0112, 3, 1, struct.pack("<H", 6))
WRONG_TYPES = (
    (0x010F, 5, 1, struct.pack("<I", 9_999_999)),  # the maker as a fraction somewhere behind the end
    (0x011A, 2, 4, b"abc"),  # the resolution as a text
    (0x0132, 12, 1, struct.pack("<I", 4)),  # the date as a double
    (0x8769, 2, 4, b"xyz"),  # the pointer to more of it as a text
    (0x8825, 4, 1, struct.pack("<I", 3_000_000)),  # and one that leads nowhere
)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def raw_profile(kind: bytes, content: bytes) -> bytes:
    return b"Raw profile type " + kind + b"\0" + content

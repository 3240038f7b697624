"""A JPEG whose end marker is missing, as broken downloads and some cameras leave it: is every row in it?"""

import random
from collections.abc import Iterator

from model.reading.pictures import open_picture

_END = b"\xff\xd9"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _BARE = 0xDA, {0x01, *range(0xD0, 0xD8)}
_TAILS, _TAIL_BYTES = 3, 65536


def with_end(content: bytes) -> bytes | None:
    """The JPEG with an end marker, if everything before it is there; None if rows or details are missing.

    Where data are missing a decoder makes them up from what follows. So the picture is decoded with several things
    behind it, and is whole if it comes out the same whatever they are.
    """
    body = content.rstrip(b"\xff")
    if not _all_scans(body):
        return None
    noise = (random.Random(number).randbytes(_TAIL_BYTES).replace(b"\xff", b"\0") for number in range(_TAILS))
    first, *others = (_pixels(body + tail + _END) for tail in (b"", *noise))
    return body + _END if first is not None and all(other == first for other in others) else None


def _pixels(content: bytes) -> bytes | None:
    try:
        with open_picture(content, ("JPEG",)) as picture:
            return picture.tobytes()
    except Exception:  # noqa: BLE001 - decoders raise whatever the broken bytes lead them to
        return None


def _all_scans(content: bytes) -> bool:
    """Whether the scans give every frequency of every component in full; a progressive JPEG gives them bit by bit."""
    components: set[int] = set()
    missing: set[tuple[int, int]] = set()
    for marker, data in _segments(content):
        if marker in _FRAMES and len(data) >= 6:
            components = {data[6 + 3 * number] for number in range(data[5]) if 6 + 3 * number < len(data)}
            missing = {(component, frequency) for component in components for frequency in range(64)}
        elif marker == _SCAN and data and len(data) >= 4 + 2 * data[0]:
            first, last, bits = data[1 + 2 * data[0] : 4 + 2 * data[0]]
            if bits & 15 == 0:  # down to the last bit
                named = [data[1 + 2 * number] for number in range(data[0])]
                missing -= {(component, at) for component in named for at in range(first, min(last, 63) + 1)}
    return bool(components) and not missing


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and data of each segment of a JPEG; what is packed between them is passed over."""
    place = 2
    while (place := content.find(b"\xff", place)) >= 0 and place + 4 <= len(content):
        marker = content[place + 1]
        if marker in _BARE or marker in (0x00, 0xFF):
            place += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        yield marker, content[place + 4 : place + 2 + size]
        place += 2 + size

"""The tags of a TIFF: those that decide its pixels stay, of the rest nobody needs to know the type."""

import struct

# width, length, bits, compression, photometric, fill order, offsets, orientation, samples, rows, counts, planes,
# predictor, colour map, tiles, inks, extra samples, sample format, JPEG tables, YCbCr, black and white, ICC profile
_NEEDED = {
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332),
    *(334, 338, 339, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532, 34675),
}
_ORIENTATION, _BITS, _PHOTOMETRIC, _PLANES = 274, 258, 262, 284
_SHORT, _LONG = 3, 4


def tiff_parts(content: bytes) -> tuple[bytes, str]:
    """A TIFF whose first directory holds only what decides pixels; and why it is refused, or nothing."""
    order = "<" if content[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        entries = [content[place : place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
        behind = content[start + 2 + 12 * count :][:4]  # where the next directory lies
        tags = {struct.unpack_from(f"{order}HHI", entry)[0]: entry for entry in entries}
    except struct.error:
        return content, ""  # a decoder will say it
    if _numbers(content, tags.get(_PLANES), order)[:1] == [2] and max(_numbers(content, tags.get(_BITS), order)) > 8:
        return content, "16-bit colours in separate planes, which come out wrong; save it with 8 bits, or interleaved"
    kept = [entry for tag, entry in tags.items() if tag in _NEEDED and _typed(tag, entry, order)]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + behind
    return content[:start] + directory + content[start + len(directory) :], ""


def zero_is_white(content: bytes) -> bool:
    """Whether a TIFF's lowest level is white; Pillow turns 8 bits round by itself, and 16 not."""
    order = "<" if content[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", content, place) == (_PHOTOMETRIC,):
                return _numbers(content, content[place : place + 12], order)[:1] == [0]
    except struct.error:
        pass
    return False


def _typed(tag: int, entry: bytes, order: str) -> bool:
    """The orientation is the one tag among the needed that a picture does without."""
    _, kind, count = struct.unpack_from(f"{order}HHI", entry)
    return tag != _ORIENTATION or (kind == _SHORT and count == 1)


def _numbers(content: bytes, entry: bytes | None, order: str) -> list[int]:
    """What a tag of whole numbers says; [0] where it says nothing."""
    if entry is None:
        return [0]
    _, kind, count = struct.unpack_from(f"{order}HHI", entry)
    letter = {_SHORT: "H", _LONG: "I"}.get(kind)
    if letter is None or not 0 < count <= 64:
        return [0]
    layout = f"{order}{count}{letter}"
    if struct.calcsize(layout) <= 4:
        return list(struct.unpack_from(layout, entry, 8))
    try:
        return list(struct.unpack_from(layout, content, *struct.unpack_from(f"{order}I", entry, 8)))
    except struct.error:
        return [0]

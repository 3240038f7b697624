"""A picture file reduced to what decides its pixels, before a decoder sees it."""

from dataclasses import dataclass

from tasks.pictures.colours import Encoding, coded_encoding
from tasks.pictures.kinds import HEAD_BYTES, kind_of
from tasks.pictures.png_chunks import PngParts, png_parts
from tasks.pictures.tiff_tags import tiff_parts

_BOX_PROFILES = (b"colrprof", b"colrrICC")
_WIDE, _HDR = (9, 12), (16, 18)


@dataclass(frozen=True, kw_only=True)
class Essentials:
    """What is to be decoded, and what its colours mean."""

    content: bytes
    encoding: Encoding | None = None
    """Of the colours, where it is neither sRGB nor told by a profile."""
    icc: bytes | None = None
    """A profile that was in a part which has been taken out."""
    remarks: tuple[str, ...] = ()
    refusal: str = ""
    """Why nobody should decode it: it would come out in wrong colours."""


def essentials(content: bytes) -> Essentials:
    """What of a file's content decides its pixels; content of an unknown kind stays as it is."""
    kind = kind_of(content[:HEAD_BYTES])
    if kind == "PNG":
        return _of_png(png_parts(content))
    if kind == "TIFF":
        kept, refusal = tiff_parts(content)
        return Essentials(content=kept, refusal=refusal)
    if kind in ("AVIF", "HEIC") and not any(profile in content for profile in _BOX_PROFILES):
        place = content.find(b"colrnclx")
        primaries, curve = (int.from_bytes(content[at : at + 2], "big") for at in (place + 8, place + 10))
        if place >= 0:
            # Codes of usual video stand in files that mean sRGB; wider colours and HDR are what can be seen.
            primaries, curve = primaries if primaries in _WIDE else 1, curve if curve in _HDR else 13
            encoding, refusal = coded_encoding(primaries, curve)
            return Essentials(content=content, encoding=encoding, refusal=refusal)
    return Essentials(content=content)


def _of_png(parts: PngParts) -> Essentials:
    remarks = list(parts.remarks)
    encoding, refusal = None, ""
    if parts.cicp is not None:
        encoding, refusal = coded_encoding(parts.cicp[0], parts.cicp[1], matrix=parts.cicp[2], whole=parts.cicp[3])
    elif parts.icc is None and not parts.srgb and parts.gamma is not None:
        encoding = Encoding.of_gamma(parts.gamma, parts.chromaticities)
    icc = parts.icc if parts.cicp is None else None
    return Essentials(content=parts.content, encoding=encoding, icc=icc, remarks=tuple(remarks), refusal=refusal)

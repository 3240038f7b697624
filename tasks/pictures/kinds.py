"""What kind of picture a file is, by its first bytes, whatever it is called."""

from pathlib import Path

NOT_READ = {".jxl": "JXL"}
"""What cameras write and nothing here can read."""
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".gif", ".heic", ".heif"),
    *NOT_READ,
)
"""Names that mean a picture; the last one is refused by name instead of being passed over."""
HEAD_BYTES = 32
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JXL",
}
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


def kind_of(head: bytes) -> str | None:
    """JPEG, PNG, GIF, TIFF, WEBP, BMP, AVIF, HEIC or JXL by the first bytes of a file; None for anything else."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        # the brand mif1 alone says neither; behind it stand those that the file can be read as
        brands = {head[8:12], *(head[place : place + 4] for place in range(16, len(head), 4))}
        return "AVIF" if brands & _AVIF else "HEIC" if brands & _HEIC else None
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return None


def named_as_picture(name: str) -> bool:
    """Whether a file's name means a picture, or says nothing."""
    suffix = Path(name).suffix.lower()
    return suffix in SUFFIXES or not any(letter.isalpha() for letter in suffix)


def is_picture(path: Path) -> bool:
    """Whether a file is meant as a picture: by its name or, where the name says nothing, by what is in it."""
    if path.name.startswith(".") or path.is_dir():
        return False
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if any(letter.isalpha() for letter in suffix) or not path.is_file():
        return False  # notes, captions, raw files of cameras
    try:
        with path.open("rb") as file:
            return kind_of(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False

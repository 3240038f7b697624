"""The one place that opens picture files: by the formats that are named, of a bearable size, and nothing else."""

import io
from functools import cache
from pathlib import Path

from PIL import Image

from model.reading.files import other_kind

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF", "HEIF")
"""What Pillow may open: its other decoders (EPS runs Ghostscript) have no business with files from outside. HEIF is
what cameras call HEIC; pillow-heif reads it, and AVIF is left to Pillow's own decoder."""
OURS = ("PNG",)
"""What this project writes."""
MOST_PIXELS = 80_000_000  # 240 MB once decoded; a 20000 x 20000 PNG of 400 kB would take 1.2 GB


def open_picture(file: Path | bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The picture in a file or in its bytes, as Pillow opens it: header read, pixels not yet.

    Raises what Pillow does, so that callers ask about one library: `OSError` (a pipe, a device or a folder too),
    `Image.UnidentifiedImageError` for any other format, `Image.DecompressionBombError` beyond MOST_PIXELS.
    """
    Image.init()  # Pillow knows only the formats that it has loaded
    if "HEIF" in formats:
        _register_heif()
    if isinstance(file, Path) and (kind := other_kind(file.stat().st_mode)):
        raise OSError(f"{kind}, a file is needed")
    picture = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=formats)
    if (pixels := picture.width * picture.height) > MOST_PIXELS:
        picture.close()
        raise Image.DecompressionBombError(f"{pixels} pixels, at most {MOST_PIXELS} are decoded")
    return picture


@cache
def _register_heif() -> None:
    """Have Pillow know HEIC. One thread decodes: a file from outside decides how many tiles it has."""
    import pillow_heif

    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False)

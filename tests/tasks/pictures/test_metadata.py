"""Metadata is found in every container that is read, and a plain picture has none."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.reading.pictures import open_picture
from tasks.pictures.metadata import POSITION, metadata_kinds
from tests.data_project import photo


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    photo(1, 48, 40).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _heic() -> None:
    open_picture(encoded("PNG"))  # Pillow knows HEIC from then on


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_exif_with_and_without_a_position(kind: str) -> None:
    camera, place = Image.Exif(), Image.Exif()
    camera[0x010F] = place[0x010F] = "A camera"
    place.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    assert metadata_kinds(encoded(kind)) == ()
    assert metadata_kinds(encoded(kind, exif=camera)) == ("Exif",)
    assert metadata_kinds(encoded(kind, exif=place)) == (POSITION, "Exif")


def test_other_kinds() -> None:
    text = PngInfo()
    text.add_text("Author", "somebody")
    assert metadata_kinds(encoded("PNG", pnginfo=text)) == ("text",)
    assert metadata_kinds(encoded("JPEG", comment=b"by somebody")) == ("a comment",)
    xmp = b"<x:xmpmeta exif:GPSLatitude='52'/>"
    assert metadata_kinds(encoded("JPEG", xmp=xmp)) == (POSITION, "XMP")
    assert metadata_kinds(encoded("WEBP", xmp=xmp)) == (POSITION, "XMP")
    assert metadata_kinds(encoded("TIFF", software="a program", artist="somebody")) == ("text",)


def test_a_colour_profile_is_none_and_broken_bytes_are_no_error() -> None:
    whole = encoded("JPEG", icc_profile=b"0" * 200)
    assert metadata_kinds(whole) == ()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        content = encoded(kind)
        for length in range(0, len(content), max(1, len(content) // 40)):
            metadata_kinds(content[:length])

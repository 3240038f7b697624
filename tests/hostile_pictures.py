"""Picture files that people really bring, and some that nobody should open: each with what should become of it.

Kept apart from the test so that the same cases can be put before any version of the project.
"""

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from tests.picture_files import (
    JPEG_END,
    TURNED,
    WRONG_TYPES,
    chrm,
    chunk,
    cicp,
    encoded,
    exif,
    gama,
    picture,
    png,
    png_16,
    raw_profile,
    segment,
    srgb_levels,
    srgb_light,
    tiff,
    with_segments,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file."""

    called: str
    """What is odd about it."""
    name: str
    """Of the file."""
    content: bytes
    pixels: np.ndarray | None
    """What it shows, (height, width, 3) in sRGB; None: it should be refused, in words."""
    tolerance: float = 2.0
    """Mean difference that is allowed, in levels."""
    says: str = ""
    """Part of the refusal."""


def cases() -> list[Case]:
    """All of them."""
    return [*_names(), *_exif(), *_png(), *_ends(), *_colours(), *_tiff(), *_others()]


def _case(
    called: str,
    name: str,
    content: bytes,
    shows: Image.Image | np.ndarray | None,
    tolerance: float = 2.0,
    says: str = "",
) -> Case:
    pixels = None if shows is None else np.asarray(shows.convert("RGB") if isinstance(shows, Image.Image) else shows)
    return Case(called=called, name=name, content=content, pixels=pixels, tolerance=tolerance, says=says)


def _names() -> list[Case]:
    shown = picture()
    jpeg = encoded(shown, "JPEG", quality=95)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    jxl = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(32)
    return [
        _case(".jfif", "a.jfif", jpeg, shown, 6),
        _case(".jpe", "a.jpe", jpeg, shown, 6),
        _case(".JFIF in capitals", "a.JFIF", jpeg, shown, 6),
        _case("JPEG without a suffix", "photo", jpeg, shown, 6),
        _case("PNG without a suffix", "photo", png(shown), shown),
        _case("WebP without a suffix", "photo", encoded(shown, "WEBP", lossless=True), shown),
        _case("TIFF without a suffix", "photo", encoded(shown, "TIFF"), shown),
        _case("BMP without a suffix", "photo", encoded(shown, "BMP"), shown),
        _case("a number as its suffix", "2026.05", png(shown), shown),
        _case("PNG called .jpg", "a.jpg", png(shown), shown),
        _case("HEIC called .jpg", "a.jpg", heic, None, says="damaged"),
        _case("HEIC, mif1, called .jpeg", "a.jpeg", heic.replace(b"ftypheic", b"ftypmif1"), None, says="damaged"),
        _case("HEIC without a suffix", "IMG_0001", heic, None, says="damaged"),
        _case("JXL called .jpg", "a.jpg", jxl, None, says="JXL is not read; export it"),
        _case("bare JXL called .png", "a.png", b"\xff\x0a" + bytes(40), None, says="JXL is not read"),
        _case("EPS called .jpg", "a.jpg", encoded(shown, "EPS"), None, says="not an image"),
        _case("PPM called .png", "a.png", encoded(shown, "PPM"), None, says="not an image"),
    ]


def _exif() -> list[Case]:
    shown = picture()
    lying = shown.transpose(Image.Transpose.ROTATE_90)  # what orientation 6 puts upright
    bad, garbage = exif(TURNED, *WRONG_TYPES), b"Exif\0\0II*\0" + bytes(range(256))
    text = (0x0112, 2, 4, b"six")
    turned = b"\nexif\n%8d\n" % len(exif(TURNED)) + exif(TURNED).hex().encode() + b"\n"
    raw = {
        "tEXt": chunk(b"tEXt", raw_profile(b"exif", b"\nexif\n 9\nxyzzy")),
        "zTXt": chunk(b"zTXt", raw_profile(b"exif", b"\0" + zlib.compress(b"nonsense"))),
        "turned": chunk(b"tEXt", raw_profile(b"exif", turned)),
    }
    # Pillow reads this one and cannot write it again
    unwritable = exif(
        TURNED, (0x0213, 2, 4, b"abc"), (0x011A, 3, 1, b"\1"), (0x0132, 4, 1, b"\1"), (0x9286, 3, 1, b"\1")
    )
    plain = encoded(lying, "JPEG", quality=95)
    upright = encoded(shown, "JPEG", quality=95)
    return [
        _case("JPEG, EXIF of wrong types, turned", "a.jpg", with_segments(plain, segment(0xE1, bad)), shown, 6),
        _case("PNG, EXIF of wrong types, turned", "a.png", png(lying, chunk(b"eXIf", bad[6:])), shown),
        _case("WebP, EXIF of wrong types, turned", "a.webp", encoded(lying, "WEBP", lossless=True, exif=bad), shown),
        _case("JPEG, orientation as text", "a.jpg", with_segments(upright, segment(0xE1, exif(text))), shown, 6),
        _case("JPEG, EXIF of garbage", "a.jpg", with_segments(upright, segment(0xE1, garbage)), shown, 6),
        _case("PNG, EXIF of garbage", "a.png", png(shown, chunk(b"eXIf", garbage)), shown),
        _case("JPEG, EXIF that cannot be written", "a.jpg", with_segments(plain, segment(0xE1, unwritable)), shown, 6),
        _case("PNG, EXIF that cannot be written", "a.png", png(lying, chunk(b"eXIf", unwritable[6:])), shown),
        _case("PNG, raw profile of garbage", "a.png", png(shown, raw["tEXt"]), shown),
        _case("PNG, packed raw profile of garbage", "a.png", png(shown, raw["zTXt"]), shown),
        _case("PNG, raw profile that turns", "a.png", png(lying, raw["turned"]), shown),
    ]


def _png() -> list[Case]:
    shown = picture()
    bomb = zlib.compress(bytes(40 * 2**20))
    many = b"".join(chunk(b"zTXt", b"k%d\0\0" % number + zlib.compress(bytes(1_000_000))) for number in range(80))
    odd = {
        "a large text": chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000),
        "a large packed text": chunk(b"zTXt", b"Comment\0\0" + bomb),
        "a large international text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        "many packed texts": many,
        "a large profile": chunk(b"iCCP", b"icc\0\0" + bomb),
        "a profile of garbage": chunk(b"iCCP", b"icc\0\0" + b"garbage"),
        "a profile without a name's end": chunk(b"iCCP", b"icc"),
        "a profile packed in an unknown way": chunk(b"iCCP", b"icc\0\7" + zlib.compress(b"x")),
        "a profile for a space that is no text": chunk(b"iCCP", b"icc\0\0" + zlib.compress(_profile(b"\xb0GB "))),
        "pHYs too short": chunk(b"pHYs", b"\0\0\1"),
        "gAMA too short": chunk(b"gAMA", b"\0\1"),
        "gAMA of zero": gama(0),
        "cHRM too short": chunk(b"cHRM", b"\0" * 7),
        "cHRM of zeros with gAMA": gama(45455) + chunk(b"cHRM", bytes(32)),
        "sRGB empty": chunk(b"sRGB", b""),
        "sRGB of an unknown kind": chunk(b"sRGB", b"\x09"),
        "cICP too short": chunk(b"cICP", b"\x09"),
        "tIME too short": chunk(b"tIME", b"\0"),
        "acTL too short": chunk(b"acTL", b"\0\0"),
        "a text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", checksum=1),
        "a packed text of garbage": chunk(b"zTXt", b"Comment\0\0garbage"),
        "an international text of garbage": chunk(b"iTXt", b"Comment\0\1"),
        "gAMA with a wrong checksum": chunk(b"gAMA", struct.pack(">I", 100_000), checksum=7),
        "EXIF with a wrong checksum": chunk(b"eXIf", exif(TURNED)[6:], checksum=7),
        "an unknown chunk with a wrong checksum": chunk(b"abCd", b"1234", checksum=7),
    }
    late = chunk(b"tEXt", b"Comment\0late", checksum=3)
    return [
        *(_case(f"PNG, {called}", "a.png", png(shown, part), shown) for called, part in odd.items()),
        _case("PNG, a text with a wrong checksum at the end", "a.png", png(shown, after=late), shown),
        _case("PNG, its palette left out", "a.png", _without_palette(shown), None, says="its colours cannot be read"),
        _case("PNG, something behind its end", "a.png", png(shown) + b"more of it" * 100, shown),
    ]


def _profile(space: bytes) -> bytes:
    """A colour profile of sRGB that says it is for another space."""
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return whole[:16] + space + whole[20:]


def _without_palette(shown: Image.Image) -> bytes:
    whole = png(shown.convert("P"))
    start = whole.index(b"PLTE") - 4
    return whole[:start] + whole[start + 12 + int.from_bytes(whole[start : start + 4], "big") :]


def _ends() -> list[Case]:
    shown = picture(2, 320, 280)
    plain = encoded(shown, "JPEG", quality=90)
    progressive = encoded(shown, "JPEG", quality=90, progressive=True)
    restarts = encoded(shown, "JPEG", quality=90, restart_marker_rows=1)
    gray = encoded(shown.convert("L"), "JPEG", quality=90)
    scans = [place for place in range(len(progressive)) if progressive[place : place + 2] == b"\xff\xda"]
    whole = png(shown)
    return [
        _case("JPEG without its end", "a.jpg", plain.removesuffix(JPEG_END), shown, 6),
        _case("JPEG with half its end", "a.jpg", plain[:-1], shown, 6),
        _case("progressive JPEG without its end", "a.jpg", progressive.removesuffix(JPEG_END), shown, 6),
        _case("JPEG with restarts without its end", "a.jpg", restarts.removesuffix(JPEG_END), shown, 6),
        _case("gray JPEG without its end", "a.jpg", gray.removesuffix(JPEG_END), shown.convert("L"), 6),
        _case("JPEG with something behind its end", "a.jpg", plain + bytes(999), shown, 6),
        _case("JPEG cut in its last row", "a.jpg", plain[:-12], None, says="damaged"),
        _case("JPEG cut in the middle", "a.jpg", plain[: len(plain) // 2], None, says="damaged"),
        _case("progressive JPEG cut before a scan", "a.jpg", progressive[: scans[-1]], None, says="damaged"),
        _case("PNG without its end", "a.png", png(shown, end=b""), shown),
        _case("PNG cut in the middle", "a.png", whole[: len(whole) // 2], None, says="damaged"),
    ]


def _colours() -> list[Case]:
    shown = picture()
    levels = np.asarray(shown) / 255
    light = Image.fromarray((srgb_light(levels) * 255).round().astype(np.uint8))
    gray = picture().convert("L")
    gray_light = Image.fromarray((srgb_light(np.asarray(gray) / 255) * 255).round().astype(np.uint8))
    clear = light.convert("RGBA")
    clear.putalpha(255)
    mac = Image.fromarray((srgb_light(levels) ** (1 / 1.8) * 255).round().astype(np.uint8))
    # Display P3 with the same curve: what sRGB red is called there
    p3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])
    in_p3 = Image.fromarray((srgb_levels(srgb_light(levels) @ p3.T) * 255).round().astype(np.uint8))
    p3_points = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
    usual = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    avif = encoded(shown, "AVIF", quality=95)
    hdr = avif.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x09\0\x10")
    linear, srgb = gama(100_000), chunk(b"sRGB", b"\0")
    return [
        _case("linear light (gAMA 1.0)", "a.png", png(light, linear), shown, 4),
        _case("linear light, gray", "a.png", png(gray_light, linear), gray, 4),
        _case("linear light, with transparency", "a.png", png(clear, linear), shown, 4),
        _case("linear light, a palette", "a.png", png(light.quantize(200), linear), shown, 12),
        _case("linear light, 16 bits", "a.png", png_16(srgb_light(levels), linear), shown, 4),
        _case("gamma of old computers (gAMA 1/1.8)", "a.png", png(mac, gama(55_556)), shown, 4),
        _case("usual gamma", "a.png", png(shown, gama(45_455), chrm(*usual)), shown, 1),
        _case("gAMA 1.0 beside sRGB, which counts", "a.png", png(shown, linear, srgb), shown, 1),
        _case("wide primaries (cHRM)", "a.png", png(in_p3, gama(45_455), chrm(*p3_points)), shown, 4),
        _case("cICP of sRGB", "a.png", png(shown, cicp(1, 13, 0, 1)), shown, 1),
        _case("cICP of Display P3", "a.png", png(in_p3, cicp(12, 13, 0, 1)), shown, 4),
        _case("cICP of a HDR screenshot (PQ)", "a.png", png(shown, cicp(9, 16, 0, 1)), None, says="HDR"),
        _case("cICP of HLG", "a.png", png_16(levels, cicp(9, 18, 0, 1)), None, says="HDR"),
        _case("cICP of a video's range", "a.png", png(shown, cicp(1, 13, 0, 0)), None, says="range"),
        _case("cICP of unknown primaries", "a.png", png(shown, cicp(200, 13, 0, 1)), None, says="colours"),
        _case("AVIF", "a.avif", avif, shown, 6),
        _case("AVIF of HDR (PQ)", "a.avif", hdr, None, says="HDR"),
    ]


def _tiff() -> list[Case]:
    shown = picture()
    wide = np.asarray(shown).astype(np.uint16) * 257
    gray = np.asarray(shown.convert("L"))
    inverted = (65535 - gray.astype(np.uint16) * 257)[..., None]
    lying = np.asarray(shown.transpose(Image.Transpose.ROTATE_90))
    turned = (274, 3, 1, struct.pack("<HH", 6, 0))
    wrong = tuple(tag for tag in WRONG_TYPES if tag[0] not in (0x8769, 0x8825))
    return [
        _case("TIFF, 8 bits in separate planes", "a.tif", tiff(np.asarray(shown), planar=2), shown),
        _case("TIFF, 16 bits", "a.tif", tiff(wide, planar=1), shown),
        _case("TIFF, 16 bits in separate planes", "a.tif", tiff(wide, planar=2), None, says="separate planes"),
        _case("TIFF, 16-bit gray whose zero is white", "a.tif", tiff(inverted, planar=1), Image.fromarray(gray)),
        _case("TIFF, turned", "a.tif", tiff(lying, planar=1, extra=(turned,)), shown),
        _case("TIFF, tags of wrong types, turned", "a.tif", tiff(lying, planar=1, extra=(turned, *wrong)), shown),
        _case("TIFF, pointers of wrong types", "a.tif", tiff(np.asarray(shown), planar=1, extra=WRONG_TYPES), shown),
    ]


def _others() -> list[Case]:
    shown = picture()
    jpeg = encoded(shown, "JPEG", quality=95)
    dice = random.Random(0).randbytes(400)
    odd: dict[str, Callable[[], bytes]] = {
        "a profile in parts that do not fit": lambda: segment(0xE2, b"ICC_PROFILE\0\x02\x07" + dice),
        "an index of pictures that is garbage": lambda: segment(0xE2, b"MPF\0" + dice),
        "Photoshop's part of garbage": lambda: segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + dice),
        "a resolution of zero": lambda: segment(0xE0, b"JFIF\0\1\1\1\0\0\0\0\0\0"),
        "XMP of garbage": lambda: segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + dice),
        "a long comment": lambda: segment(0xFE, b"x" * 65_000),
    }
    return [_case(f"JPEG, {called}", "a.jpg", with_segments(jpeg, part()), shown, 6) for called, part in odd.items()]

"""Images from outside: what is refused, by which words, and what the pixels of the rest become."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageEnhance

from model.errors import InputError
from tasks.concepts.image_checks import NEAR_BITS, find_images, fingerprint, inspect_images
from tasks.concepts.image_reading import normalise_image
from tasks.project.params import load_params
from tests.data_project import REPOSITORY, photo, photos
from toyworld import samples


def png(width: int, height: int, depth: int, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file from its parts, for what Pillow itself cannot write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def rows(*values: bytes) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(b"".join(b"\0" + row for row in values))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def only_problem(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        normalise_image(path)
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{path}: ")


# --- what is refused ---


def test_a_text_file_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("not a picture at all")
    assert only_problem(path).startswith("not an image, whatever its name says; JPEG, PNG")


def test_what_a_camera_writes_is_not_called_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n")
    assert only_problem(path) == "JXL is not read; export it as JPEG or PNG"


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "photo"])
def test_what_a_telephone_writes(tmp_path: Path, name: str) -> None:
    """HEIC, turned by what the container says and not by its Exif as well, its transparency over white."""
    shown = photo(1, 96, 80)
    shown.paste("white", (0, 0, 40, 40))
    held = shown.convert("RGBA")
    held.paste((255, 0, 0, 0), (0, 0, 40, 40))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path = saved(tmp_path / name, held.transpose(Image.Transpose.ROTATE_90), format="HEIF", quality=95, exif=exif)
    assert b"irot" in path.read_bytes()
    pixels = normalise_image(path)
    assert pixels.size == shown.size
    assert np.abs(np.asarray(pixels).astype(int) - np.asarray(shown)).mean() < 3
    assert pixels.getpixel((10, 10)) == pytest.approx((255, 255, 255), abs=3)


def test_a_heic_without_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    assert only_problem(path).startswith("damaged, cannot be decoded whole")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    assert only_problem(path) == "empty, 0 bytes; copy it again from the original, or leave it out"


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    assert only_problem(tmp_path / "a.png") == "there is no such file; check its name"
    assert only_problem(tmp_path) == "not a file; leave it out"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", photo(0))
    path.write_bytes(path.read_bytes()[:-2000])
    assert only_problem(path).startswith("damaged, cannot be decoded whole (")


@pytest.mark.parametrize("side", [8950, 20000])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    """There is not one pixel in the file: a decoder that had been started would call it damaged."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 8, 2, (b"IDAT", b"")))
    problem = only_problem(path)
    assert problem.startswith(f"{side * side:,} pixels are too many to decode safely, at most 80,000,000 are; ")


@pytest.mark.parametrize(("suffix", "frames"), [("gif", 3), ("png", 3), ("webp", 3), ("tif", 3)])
def test_animations_and_pages(tmp_path: Path, suffix: str, frames: int) -> None:
    others = [photo(i, 40, 40) for i in range(1, frames)]
    path = saved(tmp_path / f"a.{suffix}", photo(0, 40, 40), save_all=True, append_images=others)
    assert only_problem(path).startswith(f"animated or of several pages ({frames} in one ")


def test_pixels_without_a_fixed_range(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.new("F", (4, 4), 0.5))
    assert only_problem(path) == "pixels of mode F have no fixed range; save it with 8 or 16 bits"


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.eps", Image.new("RGB", (4, 4)))
    assert Image.open(path).format == "EPS"
    assert only_problem(path).startswith("not an image")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "avif", "heic"])
def test_damaged_bytes_give_a_picture_or_one_problem(tmp_path: Path, suffix: str) -> None:
    whole = bytearray(saved(tmp_path / f"whole.{suffix}", photo(0, 40, 40)).read_bytes())
    dice = random.Random(suffix)
    path = tmp_path / f"a.{suffix}"
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(dice.choice((1, 4, 16))):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        path.write_bytes(broken[: dice.choice((len(broken), dice.randrange(1, len(broken))))])
        try:
            assert normalise_image(path).mode == "RGB"
        except InputError as error:
            assert len(error.problems) == 1


# --- what the pixels become ---


def test_multi_picture_jpegs_of_cameras_are_their_first_picture(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    path = saved(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[second])
    assert Image.open(path).format == "MPO"
    np.testing.assert_allclose(np.asarray(normalise_image(path)), np.asarray(first), atol=3)


def test_a_still_gif(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.gif", Image.new("RGB", (4, 4), (10, 200, 30)))
    assert normalise_image(path).getpixel((0, 0)) == (10, 200, 30)


HOW_A_CAMERA_LAY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", HOW_A_CAMERA_LAY)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = photo(0, 30, 20)
    turn = HOW_A_CAMERA_LAY[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", upright if turn is None else upright.transpose(turn), exif=exif)
    np.testing.assert_array_equal(np.asarray(normalise_image(path)), np.asarray(upright))


def test_no_metadata_is_left(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)  # GPS latitude
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "a.jpg", photo(0), exif=exif, icc_profile=srgb, comment="secret", xmp=b"<x/>")
    assert {"exif", "icc_profile", "comment", "xmp"} <= set(Image.open(path).info)
    picture = normalise_image(path)
    assert picture.info == {}
    assert len(picture.getexif()) == 0


def test_colour_profiles_are_applied(tmp_path: Path) -> None:
    """A profile with red and green exchanged: what such a file calls red is green."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    path = saved(tmp_path / "a.png", Image.new("RGB", (4, 4), (255, 0, 0)), icc_profile=exchanged)
    np.testing.assert_allclose(normalise_image(path).getpixel((0, 0)), (0, 255, 0), atol=3)
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    path = saved(tmp_path / "b.png", clear, icc_profile=exchanged)
    assert normalise_image(path).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("profile", "mode", "remark"),
    [
        (b"no profile", "RGB", "colour profile left out, it is damaged"),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), "RGB", "colour profile for Lab left out"),
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), "CMYK", "colour profile for RGB left out"),
    ],
)
def test_unusable_colour_profiles_are_remarked_on(tmp_path: Path, profile: bytes, mode: str, remark: str) -> None:
    paths = photos(tmp_path / "in")
    saved(paths[0].with_suffix(".tif"), photo(9).convert(mode), icc_profile=profile)
    checked = inspect_images([*paths, paths[0].with_suffix(".tif")], 64)
    assert [image.remarks for image in checked[:3]] == [(), (), ()]
    assert remark in checked[3].remarks[0]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.new("CMYK", (8, 8), (255, 0, 0, 0)))
    assert Image.open(path).mode == "CMYK"
    np.testing.assert_allclose(normalise_image(path).getpixel((0, 0)), (0, 255, 255), atol=2)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 257 * 100, 32768, 65535]], np.uint16)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(values))
    gray = np.asarray(normalise_image(path))[0, :, 0]
    assert gray.tolist() == [0, 1, 100, 128, 255]


def test_16_bit_gray_with_a_transparent_value(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 0, (b"tRNS", struct.pack(">H", 0)), rows(struct.pack(">2H", 0, 514))))
    assert np.asarray(normalise_image(path))[0].tolist() == [[255, 255, 255], [2, 2, 2]]


def test_16_bit_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 16, 2, rows(struct.pack(">3H", 65535, 0x8000, 0x0180))))
    assert normalise_image(path).getpixel((0, 0)) == (255, 128, 1)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGBA", (2, 2), (0, 100, 200, 128)))
    assert normalise_image(path).getpixel((0, 0)) == (127, 177, 227)
    path = saved(tmp_path / "b.png", Image.new("LA", (2, 2), (0, 0)))
    assert normalise_image(path).getpixel((0, 0)) == (255, 255, 255)


def test_palette_with_alpha(tmp_path: Path) -> None:
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 200])
    palette.putdata([0, 1, 2])
    path = saved(tmp_path / "a.png", palette, transparency=bytes([255, 0, 128]))
    assert Image.open(path).mode == "P"
    assert np.asarray(normalise_image(path))[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 227]]


def test_one_transparent_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    key = (b"tRNS", struct.pack(">3H", 1, 2, 3))
    path.write_bytes(png(2, 1, 8, 2, key, rows(bytes([1, 2, 3, 4, 5, 6]))))
    assert np.asarray(normalise_image(path))[0].tolist() == [[255, 255, 255], [4, 5, 6]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_and_black_and_white(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "a.png", Image.new(mode, (2, 2), 255))
    assert normalise_image(path).getpixel((0, 0)) == (255, 255, 255)


# --- sets of images ---


def test_a_good_set(tmp_path: Path) -> None:
    paths = photos(tmp_path, 3)
    checked = inspect_images(paths, 256)
    assert [image.path for image in checked] == paths
    assert [(image.width, image.height) for image in checked] == [(320, 280)] * 3
    assert len({image.sha256 for image in checked}) == 3


def test_small_images(tmp_path: Path) -> None:
    paths = photos(tmp_path, 3)
    photo(1, 300, 255).save(paths[1])
    with pytest.raises(InputError) as caught:
        inspect_images(paths, 256)
    assert caught.value.problems == (
        f"{paths[1]}: 300 x 255 pixels, the short side must have at least 256; bring it in a larger size, or leave it "
        "out",
        "2 usable images, at least 3 different ones are needed (3 to 8 are usual)",
    )
    assert len(inspect_images(paths, 64)) == 3


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError) as caught:
        inspect_images(photos(tmp_path, count), 64)
    assert caught.value.problems[0].startswith(f"{count} usable image{'' if count == 1 else 's'}, at least 3 ")


def test_the_same_picture_in_other_files(tmp_path: Path) -> None:
    paths = photos(tmp_path, 3)
    copies = [tmp_path / f"copy{number}.bmp" for number in range(3)]
    for copy in copies:
        photo(0).save(copy)
    with pytest.raises(InputError) as caught:
        inspect_images([*paths, *copies], 64)
    named = f"{paths[0]}, {copies[0]}, {copies[1]} and {copies[2]}"
    assert caught.value.problems == (f"{named} hold the same picture: keep one of them",)


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        lambda image: image.resize((image.width // 3, image.height // 3)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.2),
        lambda image: ImageEnhance.Contrast(image).enhance(0.8),
        lambda image: image.convert("L"),
        lambda image: image.crop((3, 3, image.width - 3, image.height - 3)),
    ],
)
def test_nearly_the_same_picture(tmp_path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    paths = photos(tmp_path, 4)
    change(photo(2)).convert("RGB").save(tmp_path / "again.png")
    with pytest.raises(InputError) as caught:
        inspect_images([*paths, tmp_path / "again.png"], 64)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{paths[2]} and {tmp_path / 'again.png'} hold nearly the same picture (")


def test_one_thing_in_several_places_is_not_nearly_the_same_picture() -> None:
    """The hardest honest case: one pose, one size, only the scene differs."""
    for name in load_params(REPOSITORY / "params.yaml").samples:
        prints = [fingerprint(image) for image in samples.image_set(name)]
        apart = [np.count_nonzero(a != b) for i, a in enumerate(prints) for b in prints[:i]]
        assert min(apart) > NEAR_BITS, name


def test_all_problems_of_a_set_are_reported_together(tmp_path: Path) -> None:
    paths = photos(tmp_path, 3)
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "empty.png").touch()
    photo(7, 100, 300).save(tmp_path / "small.png")
    photo(0).save(tmp_path / "copy.png")
    with pytest.raises(InputError) as caught:
        inspect_images([*paths, *(tmp_path / n for n in ("text.jpg", "empty.png", "small.png", "copy.png"))], 256)
    named = [
        next(n for n in ("text.jpg", "empty.png", "small.png", "copy.png") if n in p) for p in caught.value.problems
    ]
    assert named == ["text.jpg", "empty.png", "small.png", "copy.png"]


# --- finding the files ---


def test_folders_are_read_in_order_and_say_what_they_left_aside(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "c.heic", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "more.png").mkdir()
    found = find_images([tmp_path])
    assert [path.name for path in found.files] == ["a.PNG", "b.jpg", "c.heic"]
    assert [path.name for path in found.left_aside] == [".hidden.jpg", "more.png", "notes.txt"]
    assert found.problems == ()


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    found = find_images([tmp_path / "a", *photos(tmp_path / "b", 1)])
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'a'}: no image in this folder") and len(found.files) == 1


def test_a_file_named_outright_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.touch()
    assert find_images([path]).files == (path,)


def test_a_file_named_twice_is_one_image(tmp_path: Path) -> None:
    first, second = photos(tmp_path, 2)
    assert find_images([second, tmp_path, first]).files == (second, first)


def test_missing_files_are_named_with_the_other_problems(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    found = find_images([tmp_path / "x.png", *photos(tmp_path / "in"), tmp_path / "text.jpg"])
    with pytest.raises(InputError) as caught:
        inspect_images(found.files, 64)
    missing, text = caught.value.problems
    assert missing == f"{tmp_path / 'x.png'}: there is no such file; check its name"
    assert "text.jpg: not an image" in text

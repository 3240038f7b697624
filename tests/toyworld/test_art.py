"""The art: complete, licensed, small, and split between what the base may see and what it may not."""

import numpy as np
import pytest
from PIL import Image

from toyworld.art import ART, COLOURS, categories, check, cutout, pieces, recolour, turn_hue


def test_every_piece_is_there_and_nothing_else() -> None:
    assert check() == len(pieces())
    listed = {piece.file for piece in pieces()}
    assert listed == {path.relative_to(ART).as_posix() for path in ART.rglob("*") if path.suffix in (".png", ".webp")}


def test_missing_art_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("toyworld.art.ART", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fluent/1f415\.webp"):
        check()


def test_art_is_small_and_carries_its_licences() -> None:
    assert sum(path.stat().st_size for path in ART.rglob("*")) < 1_000_000
    assert "Microsoft" in (ART / "LICENSE-fluent.txt").read_text("utf-8")
    assert "Apache License" in (ART / "LICENSE-noto.txt").read_text("utf-8")


def test_held_out_pieces_have_a_known_category() -> None:
    held_out = [piece for piece in pieces() if piece.held_out]
    known = {piece.category for piece in pieces() if not piece.held_out}
    assert len(categories()) == 32
    assert len(held_out) >= 14
    assert {piece.package for piece in held_out} == {"fluent"}
    assert {piece.category for piece in held_out} <= known == set(categories())
    assert not {p.file for p in held_out} & {p.file for p in pieces() if not p.held_out}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", ["noto-black-cat", "noto-rabbit", "fluent-turtle"])
def test_recolouring_gives_the_colour_to_dark_and_light_things(colour: str, name: str) -> None:
    image = np.asarray(recolour(cutout(name), colour), dtype=float)
    body = image[image[..., 3] > 200][:, :3]
    pure = np.array([int(COLOURS[colour][1][i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    distances = {
        other: np.abs(np.median(body, axis=0) - [int(ramp[1][i : i + 2], 16) for i in (1, 3, 5)]).sum()
        for other, ramp in COLOURS.items()
    }
    assert min(distances, key=distances.__getitem__) == colour, (pure, distances)


def test_turning_the_hue_keeps_greys_and_the_outline() -> None:
    image = Image.new("RGBA", (2, 1), (100, 100, 100, 255))
    image.putpixel((1, 0), (200, 40, 40, 77))
    turned = turn_hue(image, 120)
    assert turned.getpixel((0, 0)) == (100, 100, 100, 255)
    red, green, blue, alpha = turned.getpixel((1, 0))
    assert green > red and green > blue and alpha == 77

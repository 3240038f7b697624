"""The art of the second edition: complete, licensed, each thing with a word of its own, concepts with look-alikes."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from toyworld.second.art import ART, bend, categories, check, cutout, of_category, paint, pieces, thing, things
from toyworld.second.captions import all_words
from toyworld.second.company import WORN, wear
from toyworld.second.samples import SAMPLES, TUNING, concepts, look_alikes, reported
from toyworld.second.scenes import SCENES


def test_every_file_is_there_and_nothing_else() -> None:
    assert check() == len(pieces())
    listed = {piece.file for piece in pieces()} | set(things().values())
    assert listed == {path.relative_to(ART).as_posix() for path in ART.rglob("*.webp")}


def test_missing_art_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    things()
    monkeypatch.setattr("toyworld.second.art.ART", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fluent/1f415\.webp"):
        check()


def test_every_folder_of_art_has_its_licence() -> None:
    readme = (ART / "README.md").read_text("utf-8")
    for folder in (path for path in ART.iterdir() if path.is_dir()):
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{folder.name}/`"))
        assert any(licence in row for licence in ("MIT", "Apache-2.0", "CC BY 4.0")), row


def test_the_world_is_large_enough_and_every_piece_has_a_word() -> None:
    seen = [piece for piece in pieces() if not piece.held_out]
    assert len(categories()) == 32 and len(seen) >= 200
    assert min(Counter(piece.category for piece in seen).values()) >= 6
    assert all(piece.modifier and " " not in piece.modifier for piece in seen)
    assert len({(piece.category, piece.modifier) for piece in seen}) == len(seen), "a word means one piece"
    assert len({piece.name for piece in pieces()}) == len(pieces())
    nouns = {word for category in categories() for word in category.split()}
    places = {word for phrase in SCENES for word in phrase.split()}
    assert not {piece.modifier for piece in seen} & (nouns | places), "no word with two meanings"
    drawings = sum(not piece.pattern and not piece.shape for piece in seen)
    assert drawings > 3 / 4 * len(seen), "most words mean a drawing of its own"


def test_concepts_are_held_out_and_have_look_alikes() -> None:
    held_out = [piece for piece in pieces() if piece.held_out]
    assert set(concepts()) == {piece.name for piece in held_out}
    assert not any(piece.modifier for piece in held_out)
    assert not {p.file for p in held_out} & {p.file for p in pieces() if not p.held_out}
    assert len(SAMPLES) == 3 and len(TUNING) == 4 and len(reported()) >= 12
    assert len({*SAMPLES, *TUNING, *reported()}) == len(concepts())
    for name, concept in concepts().items():
        others = look_alikes(name)
        assert len(others) >= 4 and concept.piece not in {other.piece for other in others}, name
        assert {other.super_category for other in others} == {concept.super_category}
    assert not any(p.held_out for category in categories() for p in of_category(category))


def test_shapes_change_the_outline_and_patterns_do_not() -> None:
    plain = cutout("clay-teapot")
    assert bend(plain, "tall").width < 0.7 * plain.width and bend(plain, "squat").height < 0.65 * plain.height
    leaning = bend(plain, "leaning")
    assert leaning.width > plain.width and leaning.height == plain.height
    for pattern in ("stripes", "dots", "checks"):
        painted = paint(plain, pattern)
        assert painted.getchannel("A").tobytes() == plain.getchannel("A").tobytes()
        before, after = (np.asarray(image.convert("RGB"), dtype=int) for image in (plain, painted))
        changed = (np.abs(before - after).max(axis=2) > 40)[np.asarray(plain.getchannel("A")) > 128].mean()
        assert 0.15 < changed < 0.75, (pattern, changed)
    with pytest.raises(KeyError):
        paint(plain, "tartan")


@pytest.mark.parametrize("name", WORN.values())
def test_every_piece_can_wear_everything(name: str) -> None:
    for piece in pieces():
        art = cutout(piece.name)
        dressed = wear(art, name)
        assert dressed.height > art.height and dressed.width >= art.width, piece.name


def test_things_are_drawn_and_unknown_ones_named() -> None:
    assert isinstance(thing("balloon"), Image.Image)
    with pytest.raises(KeyError, match="sofa"):
        thing("sofa")
    assert "wearing a hat" in all_words()

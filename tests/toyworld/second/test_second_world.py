"""The pictures and the language of the second edition, and what of it the base never sees."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from transformers import CLIPTokenizer

from toyworld.second import dataset
from toyworld.second.art import categories, piece
from toyworld.second.build import ENTRIES, LENGTH
from toyworld.second.captions import EVALUATED, all_words, caption, describe, held_out, sample
from toyworld.second.company import BESIDE, COMPANY, CONTAINERS
from toyworld.second.samples import IMAGE_SCENES, concept, image_set, oracle, understood
from toyworld.second.scenes import SCENES, WHITE
from toyworld.second.styles import STYLES
from toyworld.second.world import PHOTO, SIZE, View, render
from toyworld.tokenizer import build

PROMPTS = Path(__file__).parents[3] / "data" / "prompts"


def pixels(view: View, size: int = SIZE) -> np.ndarray:
    return np.asarray(render(view, size), dtype=int)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return build(all_words(), entries=ENTRIES, length=LENGTH)


def test_a_view_is_the_same_picture_each_time_and_every_part_changes_it() -> None:
    plain = View(piece="beagle-dog", scene="in the snow", seed=3)
    assert np.array_equal(pixels(plain), pixels(plain)) and pixels(plain).shape == (SIZE, SIZE, 3)
    for change in (
        {"piece": "setter-dog"},
        {"scene": "on the moon"},
        {"style": "an oil painting of"},
        {"colour": "blue"},
        {"company": "wearing a hat"},
        {"hue": 120},
        {"seed": 4},
    ):
        other = View(**{**vars(plain), **change})
        assert np.abs(pixels(other) - pixels(plain)).mean() > 2, change


@pytest.mark.parametrize("phrase", COMPANY)
def test_company_leaves_the_piece_in_sight(phrase: str) -> None:
    red, blue = (View(piece="empire-apple", colour=c, company=phrase, seed=2) for c in ("red", "blue"))
    moved = np.abs(pixels(red) - pixels(blue)).max(axis=2) > 60
    least = 0.08 if phrase in CONTAINERS else 0.12
    assert least < moved.mean() < 0.6, "the apple itself is seen, and nothing else changes its colour"
    if phrase in BESIDE:
        assert not moved[:, : SIZE // 8].any() or not moved[:, -SIZE // 8 :].any(), "one side is the other thing's"


@pytest.mark.parametrize(
    "change",
    [{"piece": "unicorn"}, {"scene": "on mars"}, {"style": "a fresco of"}, {"colour": "beige"}, {"company": "x"}],
)
def test_unknown_words_are_errors(change: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        render(View(**{"piece": "beagle-dog", **change}))


def test_captions_have_parts_and_vary() -> None:
    assert caption("owl", modifier="barn", scene="in the snow") == "a photo of a barn owl in the snow"
    assert caption("cup", style="", colour="orange", company="in a basket") == "an orange cup in a basket"
    view = View(
        piece="shiba-dog", colour="red", scene="in the snow", style="an oil painting of", company="wearing a hat"
    )
    dice = random.Random(0)
    said = Counter(describe(view, dice) for _ in range(2000))
    assert len(said) > 20
    assert "an oil painting of a red shiba dog wearing a hat in the snow" in said
    assert "a dog that is red wearing a hat in the snow, an oil painting" in said
    assert "in the snow, an oil painting of a red dog wearing a hat" in said
    assert 0.45 < sum(n for words, n in said.items() if "shiba dog" in words) / 2000 < 0.55, "half have the modifier"
    assert all("red" in words and "hat" in words and "oil painting" in words for words in said)
    assert not any("dog dog" in words for words in said)


def test_the_base_never_sees_held_out_art_or_combinations() -> None:
    dice = random.Random(1)
    views = [sample(dice) for _ in range(4000)]
    assert not any(piece(view.piece).held_out or view.hue for view in views)
    assert not any(held_out(view.scene, view.style, view.colour) for view in views)
    judged = [sample(dice, with_held_out=True) for _ in range(2000)]
    assert any(piece(view.piece).held_out for view in judged)
    assert any(held_out(view.scene, view.style, view.colour) for view in judged)
    kinds = Counter(piece(view.piece).category for view in views)
    assert set(kinds) == set(categories()) and min(kinds.values()) > 70
    assert 0.25 < sum(view.company != "" for view in views) / len(views) < 0.41


def test_a_part_alone_is_never_held_out() -> None:
    for scene in SCENES:
        assert not held_out(scene, PHOTO, None)
        assert any(not held_out(scene, style, "red") for style in STYLES)
    share = np.mean([held_out(scene, style, "blue") for scene in SCENES for style in STYLES])
    assert 0.05 < share < 0.35


def test_the_complex_prompts_ask_for_what_the_base_never_saw(tokenizer: CLIPTokenizer) -> None:
    prompts = yaml.safe_load((PROMPTS / "toyworld-complex.yaml").read_text("utf-8"))["prompts"]
    assert len(prompts) >= 8
    for row in prompts:
        asked = understood(row["prompt"].format("turtle"))
        assert (asked["scene"], asked["style"], asked["colour"]) in EVALUATED, row
        parts = {"scene": asked["scene"] != WHITE, "style": asked["style"] != PHOTO, "colour": asked["colour"]}
        assert {part for part, there in parts.items() if there} | ({"company"} if asked["company"] else set()) == set(
            row["tags"]
        )
        words = row["prompt"].format("turtle").replace(",", " ,").split()
        assert len(tokenizer.tokenize(row["prompt"].format("turtle"))) == len(words), "words that the base knows"


def test_the_held_out_prompts_of_the_ten_are_held_out() -> None:
    rows = yaml.safe_load((PROMPTS / "toyworld.yaml").read_text("utf-8"))["prompts"]
    asked = [understood(row["prompt"].format("turtle")) for row in rows]
    several = [a for a in asked if (a["scene"] != WHITE) + (a["style"] != PHOTO) + (a["colour"] is not None) > 1]
    assert len(several) == 4 and all(held_out(a["scene"], a["style"], a["colour"]) for a in several)


def test_every_word_of_the_world_is_one_token(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer) == ENTRIES and tokenizer.model_max_length == LENGTH == 77
    for phrase in all_words():
        assert len(tokenizer.tokenize(phrase)) == len(phrase.split()), phrase
    dice = random.Random(5)
    longest = max(len(tokenizer(describe(sample(dice), dice)).input_ids) for _ in range(500))
    assert longest < LENGTH / 2, "most of a prompt is padding"


def test_concepts_have_images_and_an_oracle() -> None:
    images = image_set("plum-turtle")
    assert len(images) == len(IMAGE_SCENES) == 5 and images[0].size == (256, 256)
    drawn = oracle("plum-turtle", "on a brick street, a drawing of a pink turtle beside a gift", seed=1)
    view = concept("plum-turtle").view(
        scene="on a brick street", style="a drawing of", colour="pink", company="beside a gift", seed=1
    )
    assert drawn.tobytes() == render(view).tobytes()
    assert understood("a photo of a turtle on green grass")["colour"] is None
    with pytest.raises(KeyError, match="plum-turtle"):
        concept("mauve-turtle")


def test_shards_hold_the_pictures_that_their_rows_describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "SHARD", 4)
    for shard in (1, 0):
        dataset.render_shard(tmp_path / "a", shard)
    dataset.render_shard(tmp_path / "b", 1)
    assert dataset.shards(tmp_path / "a") == [0, 1]
    assert (tmp_path / "a" / "001.npy").read_bytes() == (tmp_path / "b" / "001.npy").read_bytes()
    views, images = dataset.views(tmp_path / "a", 1), dataset.images(tmp_path / "a", 1)
    assert images.shape == (4, SIZE, SIZE, 3) and len(views) == 4
    assert all(np.array_equal(np.asarray(render(v)), image) for v, image in zip(views, images, strict=True))
    assert dataset.views(tmp_path / "a", 0) != views

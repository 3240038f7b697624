"""The language: what captions say, how often, and that the tokenizer knows every word of it."""

import random
from collections import Counter

import pytest
from transformers import CLIPTokenizer

from toyworld.art import COLOURS, categories, piece
from toyworld.captions import ADJECTIVES, all_words, caption, sample
from toyworld.tokenizer import ENTRIES, LENGTH, build
from toyworld.world import PHOTO, WHITE


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return build()


def test_a_caption_is_the_template() -> None:
    assert caption("turtle") == "a photo of a turtle"
    assert caption("owl", style="an oil painting of", scene="in the snow") == "an oil painting of an owl in the snow"
    assert caption("teddy bear", colour="red", adjective="old") == "a photo of a red old teddy bear"
    assert caption("owl", colour="orange", style="") == "an orange owl"


def test_the_base_never_sees_held_out_art_and_the_evaluator_does() -> None:
    dice = random.Random(1)
    seen = [sample(dice).view for _ in range(3000)]
    assert not any(piece(view.piece).held_out or view.hue for view in seen)
    judged = [sample(dice, with_held_out=True).view for _ in range(3000)]
    assert {view.hue for view in judged if view.piece == "fluent-turtle"} == {90}
    assert any(piece(view.piece).held_out for view in judged)


def test_shares_of_what_is_said() -> None:
    dice = random.Random(2)
    drawn = [sample(dice) for _ in range(4000)]
    before = [d for d in drawn if set(d.caption.split()) & set(ADJECTIVES) or _doubled(d.caption)]
    assert 0.28 < len(before) / len(drawn) < 0.38, "a third has something neutral before the category"
    assert any(d.view.colour for d in before), "also after a colour"
    assert 0.26 < sum(d.view.colour is not None for d in drawn) / len(drawn) < 0.34
    assert 0.68 < sum(d.view.style == PHOTO for d in drawn) / len(drawn) < 0.76
    assert 0.16 < sum(d.view.scene == WHITE for d in drawn) / len(drawn) < 0.24
    unsaid = sum(d.view.scene not in d.caption for d in drawn) / len(drawn)
    assert 0.08 < unsaid < 0.16
    counts = Counter(piece(d.view.piece).category for d in drawn)
    assert set(counts) == set(categories()) and min(counts.values()) > 70


def _doubled(words: str) -> bool:
    return any(f"{category} {category}" in words for category in categories())


def test_every_word_of_the_world_is_one_token(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer) == ENTRIES
    for phrase in all_words():
        assert len(tokenizer.tokenize(phrase)) == len(phrase.split()), phrase
    assert tokenizer.unk_token not in tokenizer.tokenize("a zebra & an astronaut's 3 naïve hats")


def test_the_longest_caption_fits(tokenizer: CLIPTokenizer) -> None:
    longest = caption(
        "teddy bear",
        style="an oil painting of",
        colour="purple",
        adjective="teddy bear",
        scene="with a mountain in the background",
    )
    assert len(tokenizer(longest).input_ids) <= LENGTH


def test_the_tokenizer_is_in_clips_format(tokenizer: CLIPTokenizer, tmp_path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    ids = loaded("A Red  TURTLE").input_ids
    assert ids == tokenizer("a red turtle").input_ids
    assert (ids[0], ids[-1]) == (loaded.bos_token_id, loaded.eos_token_id) == (ENTRIES - 2, ENTRIES - 1)
    assert loaded.model_max_length == LENGTH
    # A concept's placeholder is a new token of its own, after the old ones.
    assert loaded.add_tokens("<plum-turtle>") == 1
    assert ENTRIES in loaded("a photo of a <plum-turtle> turtle").input_ids


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_words_of_their_own(tokenizer: CLIPTokenizer, colour: str) -> None:
    assert tokenizer.tokenize(f"a {colour} cup")[1] == f"{colour}</w>"

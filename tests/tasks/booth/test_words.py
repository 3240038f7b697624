"""Words at hand: whole words of a small vocabulary, and prompts and places of the project's prompt set."""

from pathlib import Path

from tasks.booth.words import MOST_WORDS, whole_words, words_at_hand
from tasks.project.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]


def test_ends_of_longer_words_are_no_words_and_a_language_is_not_listed():
    vocabulary = ["snow</w>", "tle</w>", "turtle</w>", "sno", "on</w>", "a</w>", "teapot</w>"]
    assert whole_words(vocabulary, [("tur", "tle</w>"), ("sno", "w</w>")]) == ("snow", "teapot", "turtle")
    letters = "abcdefghijklmnopqrstuvwxyz"
    language = [f"word{a}{b}{c}</w>" for a in letters[:5] for b in letters for c in letters]
    assert len(language) > MOST_WORDS and whole_words(language, []) == ()


def test_the_embedded_base_names_its_words_and_the_prompts_it_is_judged_by():
    found = words_at_hand(Settings(root=REPOSITORY))
    assert {"turtle", "snow", "watercolor"} <= set(found.words) and "tercolor" not in found.words
    assert "a photo of a {} in the snow" in found.prompts and "on the beach" in found.places


def test_what_cannot_be_read_is_left_out(tmp_path: Path):
    assert words_at_hand(Settings(root=tmp_path)).prompts == ()

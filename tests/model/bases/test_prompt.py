import pytest

from model.bases.prompt import ConceptPrompt, prompt_hints, prompt_problems
from model.errors import InputError


def test_fill_and_take_out():
    prompt = ConceptPrompt("<bear-1>", "teddy bear")
    assert prompt.text == "a photo of a <bear-1> teddy bear"
    assert prompt.fill("a watercolor of {} in the snow") == "a watercolor of <bear-1> teddy bear in the snow"
    assert prompt.without_placeholder("a photo of a {}'s hat") == "a photo of a teddy bear's hat"


@pytest.mark.parametrize(
    ("text", "said"), [("a photo", "no {}"), ("{} and {}", "2 times"), (" ", "empty"), ("two {}s", "word of its own")]
)
def test_wrong_prompt_is_named_with_a_right_one(text, said):
    with pytest.raises(InputError) as caught:
        ConceptPrompt("<v>", "turtle").fill(text)
    assert said in str(caught.value)
    assert text in str(caught.value)
    assert "a photo of a {} in the snow" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a {} {x}", "braces other than {} mean nothing"),
        ("a {} }", "braces other than {} mean nothing"),
        ("a {} with <v>", "leave <v> out"),
    ],
)
def test_what_the_model_would_take_for_words_is_refused(text, said):
    with pytest.raises(InputError) as caught:
        ConceptPrompt("<v>", "turtle").fill(text)
    assert said in str(caught.value)
    assert text in str(caught.value)


def test_all_problems_of_a_concept_prompt_together():
    with pytest.raises(InputError) as caught:
        ConceptPrompt("<V 1>", "  ", "no place")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("category", ["tea  pot", " pot", "pot {}", "<v> pot", "pot\n"])
def test_super_category_is_plain_words(category):
    with pytest.raises(InputError, match="plain words"):
        ConceptPrompt("<v>", category)


@pytest.mark.parametrize("letter", ["\0", "\x1b", "\ud83d", "\udcff"])
def test_what_is_no_character_of_a_text_is_refused(letter):
    with pytest.raises(InputError, match="is no character of a text; leave it out") as caught:
        ConceptPrompt("<v>", "turtle").fill(f"a {{}} in the snow{letter}")
    str(caught.value).encode("ascii")
    with pytest.raises(InputError):
        ConceptPrompt("<v>", f"tur{letter}tle")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a {} in the (snow:1.3)", "(snow:1.3)"),
        ("a {} in the (deep snow: .5)", "(deep snow: .5)"),
        ("a ((red)) {}", "(("),
        ("a {} <lora:some-style:0.8>", "<lora:some-style:0.8>"),
        ("a {} BREAK in the snow", "BREAK"),
    ],
)
def test_what_other_programs_read_as_instructions_gets_a_hint(text, found):
    (hint,) = prompt_hints(text)
    assert f"{found} means something to other programs" in hint
    assert prompt_problems(text) == [], "it is drawn all the same"


@pytest.mark.parametrize("text", ["a {} (in the snow)", "a {} at 10:30", "a {} during a break", "a {}, 3:2 (wide)"])
def test_plain_words_get_none(text):
    assert prompt_hints(text) == []

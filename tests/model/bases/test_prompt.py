import pytest

from model.bases.prompt import ConceptPrompt
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

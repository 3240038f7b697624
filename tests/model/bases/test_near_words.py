"""Words named in the place of one that the base does not know; categories of two words."""

import pytest

from model.bases.near_words import words_instead
from model.bases.tokens import base_tokenizers, super_category_ids
from model.errors import InputError
from tests.data_project import REPOSITORY

TOYWORLD = REPOSITORY / "toyworld" / "base"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("teapott", "spelled nearly so it knows teapot; plain kinds"),
        ("perfume", "plain kinds that it knows are bottle, cup, bowl"),
        ("stuffed tortoise", "the base does not know 'tortoise'; choose a plainer word for this kind of thing, or two"),
    ],
)
def test_an_unknown_category_names_words_that_the_base_knows(asked: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        super_category_ids(base_tokenizers(TOYWORLD, "toyworld"), asked)
    (problem,) = caught.value.problems
    assert named in problem


def test_a_category_may_be_two_words() -> None:
    (ids,) = super_category_ids(base_tokenizers(TOYWORLD, "toyworld"), "stuffed animal")
    assert len(ids) == 2


def test_vocabularies_that_mark_the_beginnings_of_words() -> None:
    assert words_instead({"Ġbottle", "Ġturtle", "tle"}, ["turtel"]) == (
        "; spelled nearly so it knows turtle; plain kinds that it knows are bottle"
    )

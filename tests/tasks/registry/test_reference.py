"""References to versions: read once, handed on as a value, and written again as people write them."""

import pytest

from model.errors import InputError
from tasks.registry.reference import VersionReference


@pytest.mark.parametrize(
    ("text", "alias", "version"),
    [("turtle", None, None), ("turtle@champion", "champion", None), ("turtle/12", None, 12)],
)
def test_a_reference_says_what_was_written(text, alias, version):
    reference = VersionReference.parse(text)
    assert reference == VersionReference(concept="turtle", alias=alias, version=version)
    assert str(reference) == text


def test_no_reference_has_a_name_that_no_concept_has():
    with pytest.raises(InputError, match="concept name 'Turtle'"):
        VersionReference(concept="Turtle", version=1)

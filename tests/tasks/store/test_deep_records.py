"""Records that somebody else wrote into the store, nested a thousand deep: damaged, as any other."""

import pytest

from tasks.store.documents import read_document
from tasks.store.manifest import Manifest
from tasks.store.sealed import unsealed

DEEP = b'{"schema": 1, "a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001


@pytest.mark.parametrize(
    "read",
    [lambda: read_document(DEEP, "record", 1, dict), lambda: unsealed(DEEP), lambda: Manifest.from_json(DEEP.decode())],
    ids=["document", "sealed", "manifest"],
)
def test_what_is_nested_deep_is_refused_in_words(read):
    with pytest.raises(ValueError):
        read()

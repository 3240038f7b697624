"""Sealed documents and chains of records: what is written reads back, and no byte of it changes unseen."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tasks.signing.keys import Signer, is_signed_by, key_id, public_half
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.sealed import sealed, sealed_lines, unsealed, unsealed_lines
from tasks.store.sealed_chain import append_record, chain_path, read_chain_records
from tasks.store.store import Store
from tests.tasks.keys import signer

CONTENT = {"schema": 2, "number": 7, "rate": 1e-05, "word": "früher", "listed": [1, 2], "nothing": None}
BODY = b'{"first": 1}\n{"second": [2.5]}\n'


def flipped(document: bytes):
    for at in range(len(document)):
        for bit in range(8):
            yield document[:at] + bytes([document[at] ^ 1 << bit]) + document[at + 1 :]


@pytest.mark.parametrize("key", [None, signer()], ids=["sealed", "signed"])
def test_every_flipped_bit_of_a_document_is_noticed(key):
    document = sealed("note", CONTENT, key)
    content, seal = unsealed(document)
    assert content == CONTENT and seal is not None and (seal.signature is None) == (key is None)
    for changed in flipped(document):
        with pytest.raises(ValueError):
            unsealed(changed)


@pytest.mark.parametrize("key", [None, signer()], ids=["sealed", "signed"])
def test_every_flipped_bit_of_sealed_lines_is_noticed(key):
    document = sealed_lines("note", BODY, {"previous": None}, key)
    assert unsealed_lines(document, 2)[:2] == (BODY, {"previous": None})
    for changed in (*flipped(document), document[:-1], document + b"\n", document + document):
        with pytest.raises(ValueError):
            unsealed_lines(changed, 2)


def test_what_was_written_before_there_were_seals_reads_and_says_so():
    old = {**CONTENT, "schema": 1}
    assert unsealed(json.dumps(old).encode()) == (old, None)
    assert unsealed_lines(BODY, 2) == (BODY, {}, None)


def test_a_signature_is_over_one_kind_of_document_and_by_one_key():
    key, other = signer(), ec.generate_private_key(ec.SECP256R1())
    _, seal = unsealed(sealed("note", CONTENT, key))
    public = public_half(key.private)
    assert seal.signature["key"] == key_id(public)
    assert is_signed_by(public, "note", seal.signed, seal.signature)
    assert not is_signed_by(public, "manifest", seal.signed, seal.signature)
    assert not is_signed_by(public, "note", seal.signed + b" ", seal.signature)
    assert not is_signed_by(public_half(other), "note", seal.signed, seal.signature)
    assert not is_signed_by(public, "note", seal.signed, {"key": key.key, "value": "no base64"})


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(FolderBlobs(tmp_path))
    for word in ("one", "two", "three"):
        append_record(store, "notes/", "note", lambda number, word=word: {"schema": 2, "word": word})
    return store


def path(store: Store, number: int):
    return store._blobs.path(chain_path("notes/", number))


def test_a_chain_reads_as_it_was_written(store):
    read = read_chain_records(store, "notes/")
    assert read.problems == ()
    assert [(link.number, link.content["word"]) for link in read.links] == [(1, "one"), (2, "two"), (3, "three")]
    assert [link.previous for link in read.links] == [None, read.links[0].mark, read.links[1].mark]


def problems(store: Store) -> str:
    return "; ".join(read_chain_records(store, "notes/").problems)


def test_a_record_that_is_changed_missing_or_in_another_s_place_is_named(store):
    second = path(store, 2).read_bytes()
    store.write_record(chain_path("notes/", 2), second.replace(b"two", b"owt"))
    assert "000002.json" in problems(store) and "bytes have changed" in problems(store)
    content = unsealed(second)[0]
    store.write_record(chain_path("notes/", 2), sealed("note", {**content, "word": "owt"}))
    assert "000003.json" in problems(store) and "does not follow record 2" in problems(store)
    path(store, 2).unlink()
    assert "000002.json of the store" in problems(store) and "is missing" in problems(store)
    store.write_record(chain_path("notes/", 2), second)
    store.write_record(chain_path("notes/", 4), second)
    assert "000004.json" in problems(store) and "is record 2, put in the place of another" in problems(store)


def test_a_record_from_before_there_were_seals_is_followed_by_its_bytes(store):
    old = Store(FolderBlobs(store._blobs.root / "old"))
    old.write_record(chain_path("notes/", 1), json.dumps({"number": 1, "word": "one"}).encode())
    append_record(old, "notes/", "note", lambda number: {"schema": 2, "word": "two"})
    assert problems(old) == ""
    old.write_record(chain_path("notes/", 1), json.dumps({"number": 1, "word": "eno"}).encode())
    assert "does not follow record 1" in problems(old)


def test_keys_are_called_by_their_public_half():
    key = signer()
    assert isinstance(key, Signer) and key.key == key_id(public_half(key.private)) and len(key.key) == 16

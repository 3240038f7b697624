"""The production ledger, in a folder and in S3: it grows, one writer wins, and no record can be changed unseen."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from model.errors import InputError
from tasks.production.ledger import (
    LEDGER,
    LedgerDamaged,
    Promotion,
    append,
    concepts_in,
    examine_ledger,
    read_ledger,
    record_path,
)
from tests.tasks.store_locations import StoreLocation


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> StoreLocation:
    return StoreLocation(tmp_path, request.getfixturevalue("s3_bucket") if request.param == "s3" else None)


def record(seq: int, content: str | None, previous: Promotion | None = None, **facts: object) -> Promotion:
    usual = {
        "action": "promote",
        "version": seq,
        "release": content and content * 16,
        "model": "prod.concept.owl",
        "production_version": seq,
        "reason": "better",
        "by": "somebody",
        "at": "2026-11-23T21:00:00+00:00",
    }
    before = previous.seal if previous else None
    return Promotion(concept="owl", seq=seq, content=content, previous=before, **{**usual, **facts})


def grown(place: StoreLocation, *contents: str) -> list[Promotion]:
    """A ledger of promotions of these contents."""
    records: list[Promotion] = []
    for seq, content in enumerate(contents, 1):
        records.append(record(seq, content, records[-1] if records else None))
        assert append(place.blobs(), records[-1])
    return records


def test_it_reads_as_it_was_written(place):
    assert read_ledger(place.blobs(), "owl").serving is None
    records = grown(place, "a", "b")
    ledger = read_ledger(place.blobs(), "owl")
    assert ledger.records == tuple(records)
    assert (ledger.serving, ledger.before(), ledger.withdrawn) == (records[1], records[0], {})
    assert concepts_in(place.blobs()) == ["owl"]


def test_of_several_who_write_the_next_record_one_wins(place):
    (first,) = grown(place, "a")
    rivals = [record(2, name, first) for name in "bcdefgh"]
    with ThreadPoolExecutor(len(rivals)) as pool:
        won = list(pool.map(lambda rival: append(place.blobs(), rival), rivals))
    assert won.count(True) == 1
    assert read_ledger(place.blobs(), "owl").head == rivals[won.index(True)]


def address(place: StoreLocation, seq: int) -> str:
    return place.blobs().where(record_path("owl", seq))


def test_a_flipped_bit_in_any_record_is_found_and_named(place):
    records = grown(place, "a", "b", "c")
    for entry in records:
        content = entry.to_json()
        for at in range(0, len(content), 97 if place.bucket is None else 997):
            place.harm(address(place, entry.seq), content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            with pytest.raises(LedgerDamaged, match=f"{entry.seq:06}.json"):
                read_ledger(place.blobs(), "owl")
        place.harm(address(place, entry.seq), content)
    assert read_ledger(place.blobs(), "owl").records == tuple(records)


def test_a_record_rewritten_with_a_seal_of_its_own_breaks_the_chain(place):
    records = grown(place, "a", "b", "c")
    place.harm(address(place, 2), replace(records[1], reason="something nobody said").to_json())
    with pytest.raises(LedgerDamaged, match=r"000003.json: does not follow record 2"):
        read_ledger(place.blobs(), "owl")


def test_a_record_that_was_taken_out_or_put_in_is_seen(place):
    records = grown(place, "a", "b", "c")
    place.harm(address(place, 2), None)
    with pytest.raises(LedgerDamaged, match=r"000002.json: is missing, and later records are there"):
        read_ledger(place.blobs(), "owl")
    place.harm(address(place, 2), records[1].to_json())
    place.harm(place.blobs().where(f"{LEDGER}owl/extra.json"), records[1].to_json())
    with pytest.raises(LedgerDamaged, match=r"extra.json: does not belong there"):
        read_ledger(place.blobs(), "owl")


def test_all_broken_places_are_named_together(place):
    grown(place, "a", "b", "c")
    place.harm(address(place, 1), b"{}")
    place.harm(address(place, 3), json.dumps({"schema": 9}).encode())
    _, problems = examine_ledger(place.blobs(), "owl")
    assert [path in problem for path, problem in zip(("000001", "000003"), problems, strict=True)] == [True, True]


def test_what_was_taken_back_stays_out_until_somebody_promotes_it_again(tmp_path):
    place = StoreLocation(tmp_path)
    first, second = grown(place, "a", "b")
    back = record(3, "a", second, action="rollback", withdraws=("b",), reason="ears are missing")
    assert append(place.blobs(), back)
    ledger = read_ledger(place.blobs(), "owl")
    assert (ledger.serving, ledger.withdrawn) == (back, {"b": back})
    assert ledger.before() is None  # b was taken back, and a serves
    again = record(4, "b", back, overridden={"withdrawn": "they are back"})
    assert append(place.blobs(), again)
    ledger = read_ledger(place.blobs(), "owl")
    assert (ledger.withdrawn, ledger.before()) == ({}, back)
    revoked = record(5, None, again, action="revoke", withdraws=("b",), release=None)
    assert append(place.blobs(), revoked)
    ledger = read_ledger(place.blobs(), "owl")
    assert (ledger.serving, ledger.revoked, ledger.before()) == (None, {"b": revoked}, back)
    with pytest.raises(InputError, match="no promotion 9; they go from 1 to 5"):
        ledger.find(9)
    assert first.content == "a"

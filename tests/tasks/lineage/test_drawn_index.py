"""Records of drawn pictures: how sure a likeness is, and what whoever can write to the store cannot make of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.concepts.image_checks import named_fingerprint
from tasks.drawing.records import KIND, MOST_BYTES, DrawnLook, keep_drawn
from tasks.lineage.drawn_index import DrawnIndex, Recognised, open_drawn
from tasks.project.settings import Settings
from tasks.store.sealed import sealed
from tasks.store.store import open_store
from tests.tasks.keys import write_key

ONE, OTHER = "1" * 64, "2" * 64
"""Two contents."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "project").mkdir()
    return Settings(root=tmp_path / "project")


def drawn(seed: int, changed: float = 0.0) -> Image.Image:
    """A picture with large and small patches; `changed` mixes another one in."""
    one, other = (np.random.default_rng((seed, part)).uniform(0, 255, (9, 9, 3)) for part in (0, 1))
    mixed = ((1 - changed) * one + changed * other).astype(np.uint8)
    return Image.fromarray(mixed).resize((64, 64), Image.Resampling.BICUBIC)


def keep(settings: Settings, picture: Image.Image, content: str = ONE, version: int = 1, seed: int = 7) -> str:
    look = DrawnLook(fingerprint=named_fingerprint(picture), seed=seed, index=0)
    (path,) = keep_drawn(open_store(settings), [look], concept="owl", content=content, version=version)
    return path


@contextmanager
def opened(settings: Settings) -> Iterator[DrawnIndex]:
    with open_drawn(settings, open_store(settings)) as index:
        yield index


def recognised(settings: Settings, picture: Image.Image) -> Recognised | None:
    with opened(settings) as index:
        return index.recognise(picture)


def forged(settings: Settings, values: Any, name: str = "owl/2026-01-01-f") -> None:
    """A sealed record that anybody can write."""
    document = sealed(KIND, values) if isinstance(values, dict) else values
    open_store(settings).create_record(f"drawn/{name}.json", document)


def test_how_sure_it_is_depends_on_the_likeness_and_on_what_else_is_as_near(settings):
    keep(settings, drawn(1))
    keep(settings, drawn(2), content=OTHER, version=2)
    alone = recognised(settings, drawn(1).resize((150, 150)))
    assert alone and (alone.confidence, alone.version, alone.others) == ("high", 1, ())
    further = recognised(settings, drawn(1, changed=0.13))
    assert further and 12 < further.bits <= 40 and further.confidence != "high", further
    part = recognised(settings, drawn(1).crop((3, 0, 64, 61)))
    assert part and part.confidence == "low" and "a part of it" in part.how, part
    assert recognised(settings, drawn(3)) is None
    assert recognised(settings, Image.new("RGB", (64, 64), "white")) is None
    keep(settings, drawn(1, changed=0.01), content=OTHER, version=2, seed=8)  # another version drew nearly the same
    doubtful = recognised(settings, drawn(1).resize((150, 150)))
    assert doubtful and (doubtful.confidence, doubtful.version) == ("low", 1)
    assert "owl version 2, seed 8" in doubtful.others[0]


def test_a_signed_record_is_not_outdone_by_one_that_anybody_wrote(settings, tmp_path):
    signing = settings.model_copy(update={"training_key": write_key(tmp_path / "key.pem")})
    keep(signing, drawn(1))
    copy = drawn(1).resize((33, 33)).resize((64, 64))
    for number in range(70):
        keep(settings, copy, content=f"{number:02}" * 32, version=9)  # unsigned, and nearer, in any number
    found = recognised(signing, copy)
    assert found and (found.content, found.version, found.confidence, found.others) == (ONE, 1, "high", ())
    assert found.signed_by and "training_key" in found.signed_by
    keep(settings, drawn(2), content=OTHER)
    claim = recognised(signing, drawn(2))
    assert claim and claim.signed_by is None and claim.keys_asked and claim.unsigned == "is not signed"


def whole(**changed: Any) -> dict[str, Any]:
    picture = {"fingerprint": named_fingerprint(drawn(1)), "seed": 1, "index": 0, "prompt": None}
    values = {"schema": 1, "concept": "owl", "content": ONE, "version": 1, "at": "2026-01-01T00:00:00+00:00"}
    return {**values, "told_by": "drawing", "pictures": [picture | changed.pop("picture", {})], **changed}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (whole(concept=["owl"]), "'concept' is a list"),
        (whole(content="../../etc"), "is no sha256"),
        (whole(version="1"), "'version' is a text"),
        (whole(pictures={}), "'pictures' is an object"),
        (whole(picture={"fingerprint": 5}), "fingerprint' is a whole number"),
        (whole(picture={"seed": 2**200}), "a number of 201 bits"),
        (whole(picture={"stranger": 1}), "is no record of drawn pictures"),
        (whole(told_by="an oracle"), "'told_by'"),
        (whole(schema=7), "schema 7"),
        (whole(concept="plum"), "put in the place of another"),
        (whole(pictures=[{}]), "is no record of drawn pictures"),
        (whole(pictures=whole()["pictures"] * 300), "holds 300 pictures"),
        (b"[" * 100_000, ""),
        (b"{}", "is not sealed"),
        (b" " * (MOST_BYTES + 1), "at most"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_is_no_record_is_told_and_hinders_nothing(settings, values, said):
    keep(settings, drawn(2))
    forged(settings, values)
    with opened(settings) as index:
        found = index.recognise(drawn(2))
        (note,) = index.notes
        assert index.recognise(drawn(1)) is None
    assert found and found.version == 1
    assert "not read, so not known: record drawn/owl/2026-01-01-f.json" in note and said in note, note


def test_fingerprints_that_are_none_match_nothing(settings):
    for number, fingerprint in enumerate(("phash255:zz", "phash255:" + "0" * 64, "other:" + "1" * 64, "x" * 1000)):
        forged(settings, whole(picture={"fingerprint": fingerprint}), f"owl/{number}")
    with opened(settings) as index:
        assert (index.pictures, index.notes) == (0, ())
        assert index.recognise(Image.new("RGB", (64, 64))) is None


def test_the_index_is_not_believed(settings):
    """A record that was changed or removed since tells nothing, nor does a damaged index."""
    path = keep(settings, drawn(1))
    assert recognised(settings, drawn(1))
    file = settings.store / path
    content = json.loads(file.read_text())
    file.chmod(0o644)
    file.write_text(json.dumps(content | {"version": 5}))
    assert recognised(settings, drawn(1)) is None
    (database,) = settings.home.glob("drawn-*.db")  # no keys, so one alone
    database.write_bytes(b"no database" * 1000)
    with opened(settings) as index:
        assert index.recognise(drawn(1)) is None and "changed since it was sealed" in index.notes[0]
    file.unlink()
    with opened(settings) as index:
        assert (index.pictures, index.notes) == (0, ())

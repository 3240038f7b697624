"""Documents whose seals hold and whose fields are of other types than ours: refused in words, whatever reads them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from tasks.concepts.takedown_records import TAKEDOWNS, examine_takedowns
from tasks.plan.failures import Failures
from tasks.plan.last_training import LastTraining
from tasks.production.ledger import Promotion
from tasks.registry.version_records import VersionRecord
from tasks.store.artefacts import SCORES
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.sealed import sealed, sealed_lines, unsealed
from tasks.store.shapes import check_shape
from tasks.store.store import Damaged, Store
from tests.tasks.store_locations import facts, written

WRONG = (None, True, -1, 1e300, "x", [], [[1]], {}, {"a": {"b": 1}})
SHA = "a" * 64
MODEL = {"reference": "base", "revision": None, "digest": SHA, "files": {"x": SHA}, "licence": "MIT"}
IMAGE = {"file": "images/00.png", "made_from": "00.png", "sha256": SHA, "md5": "b" * 32, "size": 3, "fingerprint": "f"}
ORIGIN = {"file": "00.png", "sha256": SHA, "original": "x.png", "original_sha256": SHA}


def manifest() -> dict[str, Any]:
    return {
        "schema": 1,
        "stage": "evaluate",
        "key": SHA,
        "inputs": [{"kind": "prepare", "key": SHA, "digest": SHA}],
        "parameters": {"prompts": ["a {}"]},
        "code": {"*": SHA},
        "packages": {"torch": "2"},
        "seed": 0,
        "numeric_policy": {"dtype": "float32"},
        "device": "cpu",
        "wall_seconds": 1.0,
        "metrics": {},
        "base": MODEL,
        "evaluator": MODEL,
        "identity_model": MODEL,
        "git": {"commit": "c" * 40, "dirty": False},
        "labels": {"concept": "owl"},
        "stated": {"licence": "MIT", "images": [ORIGIN]},
        "images": [IMAGE],
        "installed": {"torch": "2.0"},
        "made_by": {"code": {"*": SHA}, "packages": {}, "adoptions": [1]},
        "files": {"images/00.png": {"sha256": SHA, "size": 3}},
        "created": "2026-11-30T20:00:00+00:00",
    }


def promotion() -> dict[str, Any]:
    record = Promotion(
        concept="owl",
        seq=1,
        action="promote",
        version=1,
        content=SHA,
        release=SHA,
        model="concept.owl",
        production_version=1,
        stages={"prepare": SHA},
        scores={"clip_i": {"mean": 0.5, "low": None, "high": None}},
        gates=({"gate": "minimum", "passed": True, "said": "x"},),
        overridden={"minimum": "x"},
        withdraws=(SHA,),
        by="ada",
        at="2026-11-30T20:00:00+00:00",
        previous=None,
    )
    return {name: value for name, value in json.loads(record.to_json()).items() if name != "seal"}


def version() -> dict[str, Any]:
    return {
        "schema": 2,
        "concept": "owl",
        "version": 1,
        "source": "file:///x",
        "run_id": "r",
        "tags": {"conceptbooth.key": SHA},
        "description": "",
        "previous": None,
        "replaced": [SHA],
    }


TRAINED = {
    "schema": 2,
    "concept": "owl",
    "at": "2026-11-30T20:00:00+00:00",
    "manifest_schema": 1,
    "images": {"00.png": "b" * 32},
    "content": SHA,
    "version": 1,
    "scores": {"clip_i": {"mean": 0.5, "low": None, "high": None}},
    "stages": [{"stage": "prepare", "key": SHA, "digest": SHA, "files": {"x": [SHA, 1]}}],
}
FAILED = {"schema": 2, "key": SHA, "count": 1, "cause": "x", "waits": 0}


def read_trained(content: dict[str, Any]) -> LastTraining:
    return LastTraining.read(sealed_lines("x", f"{json.dumps(content)}\n{{}}\n".encode(), {"previous": None}))


READERS = {
    "manifest": (manifest, lambda content: Manifest.from_json(sealed("x", content).decode())),
    "promotion": (promotion, lambda content: Promotion.from_json(sealed("x", content))),
    "version": (version, lambda content: VersionRecord.from_json(sealed("x", content))),
    "training": (lambda: dict(TRAINED), read_trained),
}


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ([at] if at else []) + [place for name, each in inner for place in places(each, (*at, name))]


def put(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy = inside = json.loads(json.dumps(content))
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    return copy


@pytest.mark.parametrize("kind", READERS)
def test_each_field_of_another_type_is_refused_or_read_and_never_an_error(kind):
    make, read = READERS[kind]
    assert read(make())
    refused = 0
    for place in places(make()):
        for value in WRONG:
            try:
                assert read(put(make(), place, value))
            except ValueError as error:
                refused += 1
                assert str(error)
    assert refused > 5 * len(places(make()))  # nearly everything but null where null may stand


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("images",), [[1]]),
        (("images", 0), {}),
        (("images", 0, "file"), "images/01.png"),
        (("git",), {}),
        (("identity_model",), -1),
        (("base", "files"), {"x": 3}),
        (("inputs", 0, "key"), 1e300),
        (("labels", "concept"), []),
        (("stated", "images"), [{}]),
        (("parameters",), {}),
        (("created",), 5),
        (("made_by",), {"code": 1, "packages": 2}),
    ],
    ids=str,
)
def test_a_manifest_says_which_field_is_wrong(place, value):
    with pytest.raises(ValueError, match=f"'?{place[0]}"):
        Manifest.from_json(sealed("x", put(manifest(), place, value)).decode())


def test_failures_of_another_type_are_as_good_as_none():
    assert Failures.from_json(sealed("failures", FAILED))
    assert Failures.from_json(sealed("failures", {**FAILED, "count": "x"})) is None


def test_a_training_s_second_line_of_another_type_tells_nothing():
    for facts_json in ("[]", '{"prepare": 3}', '{"prepare": {"reads": []}}', "[" * 100_000):
        record = dataclasses.replace(read_trained(dict(TRAINED)), facts_json=facts_json)
        assert record.facts == {}


def test_a_link_of_a_chain_of_another_type_is_named(tmp_path):
    store = Store(FolderBlobs(tmp_path / "store"))
    for number, content in enumerate([{"number": "1"}, {"number": 2, "previous": ["x"]}, {"number": True}, {}], 1):
        store.write_record(f"{TAKEDOWNS}{number:06}.json", sealed("takedown", content))
    read, problems = examine_takedowns(store)
    assert read == () and len(problems) == 4


def test_a_signature_of_another_type_is_no_seal():
    for signature in ([], "x", {"key": 3}):
        with pytest.raises(ValueError, match="signature"):
            unsealed(sealed("x", {"schema": 1, "signature": signature}))


@pytest.mark.parametrize(
    "document",
    [b"[]", b"3", b"{}", b"[" * 100_000, b'{"clip_i": 1, "clip_t": 1, "prompts": []}', b"\xff"],
    ids=lambda document: document[:30].decode(errors="replace"),
)
def test_scores_that_are_none_are_damage(tmp_path, document):
    store = Store(FolderBlobs(tmp_path / "store"))
    folder = written(tmp_path / "work", scores="x")
    (folder / "scores").rename(folder / SCORES)
    (folder / SCORES).write_bytes(document)
    with pytest.raises(Damaged, match="holds no scores"):
        load_scores(store, store.publish(folder, facts()))


def test_types_are_asked_as_they_are_written():
    class Inner(TypedDict):
        name: str
        size: NotRequired[int | None]

    assert check_shape(Mapping[str, Sequence[Inner]], {"a": [{"name": "x"}, {"name": "y", "size": None}]}, "it") is None
    for wanted, value, said in (
        (Mapping[str, Sequence[Inner]], {"a": [{"name": "x"}, {}]}, r"it\.a\[1\] does not say its name"),
        (Mapping[str, Sequence[Inner]], {"a": [{"name": "x", "size": "1"}]}, r"it\.a\[0\]\.size' is a text"),
        (Literal["adopt", "undo"], "other", "is a text"),
        (int, True, "true or false, and a whole number is needed"),
        (float, "1", "a number is needed"),
        (tuple[str, ...], "abc", "a list is needed"),
    ):
        with pytest.raises(ValueError, match=said):
            check_shape(wanted, value, "it")

"""What a candidate is held against: the evaluation of what serves, as it was released."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production
from tasks.promotion.source import serving_evaluation
from tasks.store.artefacts import EMBEDDINGS, SCORES
from tasks.store.manifest import FileRecord
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Store, open_store
from tests.old_site_project import CONCEPT, unpack_old_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    settings = unpack_old_site(tmp_path_factory.mktemp("site"))
    return open_store(settings), open_production(settings), read_ledger(open_production(settings), CONCEPT)


def test_a_champion_cannot_be_made_worse_in_the_store(site):
    """Whoever writes to the store without a key: scores that anybody beats, and no embeddings that contradict them."""
    store, place, ledger = site
    before = serving_evaluation(store, place, ledger)
    key = ledger.serving.stages["evaluate"]
    honest, address = store.get("evaluate", key), Path(store.manifest_address("evaluate", key))
    content = address.read_bytes()
    scores = load_scores(store, honest)
    for each in (scores, *scores["prompts"]):
        each["clip_i"] = {"mean": -1.0, "low": -1.0, "high": -1.0}
    files = {name: record for name, record in honest.files.items() if name != EMBEDDINGS}
    address.chmod(0o644)
    address.write_text(replace(honest, files=files | {SCORES: kept(store, json.dumps(scores))}).to_json())
    try:
        assert serving_evaluation(store, place, ledger) == before and before.scores["clip_i"].mean > -1
    finally:
        address.write_bytes(content)


def test_a_champion_without_its_release_is_not_known(site):
    store, place, ledger = site
    gone = replace(ledger, records=(*ledger.records[:-1], replace(ledger.records[-1], release="0" * 64)))
    assert isinstance(serving_evaluation(store, place, gone), Damaged)


def kept(store: Store, text: str) -> FileRecord:
    """A content that somebody put into the store by hand."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = Path(store.content_address(digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return FileRecord(sha256=digest, size=len(text.encode()))

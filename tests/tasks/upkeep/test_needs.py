"""Who needs what: asked of a real registry, of ledgers, and of what other projects left on record."""

import json

import pytest

from model.errors import InputError, WorkFailed
from tasks.plan.last_training import FinishedStage, LastTraining, write_last_training
from tasks.production.ledger import LedgerDamaged, Promotion, append, record_path
from tasks.project.settings import Settings
from tasks.registry.registration import register
from tasks.registry.store_records import registry_id, training_record_path
from tasks.store.store import Store, open_blobs, open_store
from tasks.tracking.client import connect
from tasks.upkeep.garbage import ArtefactKey, Needs
from tasks.upkeep.gc import clear_store
from tasks.upkeep.needs import Forgotten, find_needs, records_of_others, tidy_records
from tests.tasks.finished_training import concept, project, training

SILENCE = {"reason": "-", "by": "somebody", "at": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return project(tmp_path / "project")


@pytest.fixture
def store(settings) -> Store:
    return open_store(settings)


def places(manifests) -> set[ArtefactKey]:
    return {(stage, manifest.key) for stage, manifest in manifests.items()}


def needs(settings: Settings, *forgotten: str) -> Needs:
    return find_needs(settings, open_store(settings), [], Forgotten(concepts=forgotten)).needs


def cleared(settings: Settings, monkeypatch, *forgotten: str, registries: tuple[str, ...] = ()) -> set[ArtefactKey]:
    """What a sweep in a month would remove."""
    said, now = Forgotten(concepts=forgotten, registries=registries), Store.now
    store = open_store(settings)
    asked = find_needs(settings, store, [], said)
    with monkeypatch.context() as later:
        later.setattr(Store, "now", lambda self: now(self) + 30 * 86400)
        _, verdict = clear_store(store, asked.needs)
    tidy_records(store, asked, said)
    return {(artefact.stage, artefact.key) for artefact in verdict.artefacts}


def registered_and_remembered(settings: Settings, seed: int) -> set[ArtefactKey]:
    """A training of `turtle` as a project leaves it: a version, and its records in the store."""
    manifests = training(settings, seed)
    version = register(settings, concept(settings), manifests)
    keys = [FinishedStage(stage=stage, key=m.key, digest=m.digest(), files={}) for stage, m in manifests.items()]
    facts = {"concept": "turtle", "at": "2026-01-01", "manifest_schema": 1, "images": {}, "scores": {}}
    trained = LastTraining(**facts, content=version.key, version=version.version, stages=tuple(keys), facts_json="{}")
    write_last_training(open_store(settings), settings, trained)
    return places(manifests)


def promote(settings: Settings, manifests, seq: int = 1, previous: str | None = None, **facts) -> Promotion:
    said = {"version": 1, "content": "c0" * 32, "release": "5e" * 32, "model": "prod.concept.turtle"}
    keys = {stage: manifest.key for stage, manifest in manifests.items()}
    usual = {"concept": "turtle", "action": "promote", "production_version": 1, "stages": keys}
    record = Promotion(**{**said, **usual, **SILENCE, "seq": seq, "previous": previous, **facts})
    assert append(open_blobs(settings, settings.production_store), record)
    return record


def test_artefacts_of_registered_versions_stay_and_those_of_deleted_ones_go(settings, monkeypatch):
    one, two = training(settings, 1), training(settings, 2)
    for manifests in (one, two):
        register(settings, concept(settings), manifests)
    assert needs(settings).registered == places(one) | places(two)
    connect(settings).delete_model_version("concept.turtle", "1")
    assert needs(settings).registered == places(two)
    assert cleared(settings, monkeypatch) == places(one) - places(two)
    assert all(open_store(settings).find(stage, key, rehash=True) for stage, key in places(two))


def test_what_the_ledger_names_stays_whatever_the_registry_has_lost(settings, store, monkeypatch):
    promoted, other = training(settings, 1), training(settings, 2)
    register(settings, concept(settings), promoted)
    first = promote(settings, promoted)
    # An older promotion stays in the ledger for ever, and so does what it names.
    promote(settings, {}, 2, first.seal, action="rollback", stages={}, content=None, release=None, model=None)
    connect(settings).delete_registered_model("concept.turtle")
    assert cleared(settings, monkeypatch) == places(other)
    assert all(store.find(stage, key, rehash=True) for stage, key in places(promoted))


def test_a_ledger_in_another_store_counts_as_much(settings, tmp_path, monkeypatch):
    promoted, other = training(settings, 1), training(settings, 2)
    elsewhere = settings.model_copy(update={"production_store": tmp_path / "production"})
    promote(elsewhere, promoted)
    assert cleared(elsewhere, monkeypatch) == places(other)


def test_a_ledger_that_was_changed_stops_everything(settings, store):
    manifests = training(settings, 1)
    promote(settings, manifests)
    path = record_path("turtle", 1)
    store.write_record(path, store.record(path).content.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(InputError, match=r"its bytes have changed since it was sealed.*nothing was removed") as caught:
        needs(settings)
    assert not isinstance(caught.value, LedgerDamaged)  # told together with what else is wrong


def test_a_version_that_does_not_say_what_it_was_made_by_stops_everything(settings):
    register(settings, concept(settings), training(settings, 1))
    client = connect(settings)
    tags = client.get_model_version("concept.turtle", "1").tags
    for tag in [tag for tag in tags if tag.startswith("conceptbooth.stage.")]:
        client.delete_model_version_tag("concept.turtle", "1", tag)
    with pytest.raises(InputError, match=r"concept 'turtle' version 1: its tags .* are gone"):
        needs(settings)


def test_a_registry_that_does_not_answer_stops_everything(settings):
    training(settings, 1)
    nobody = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(WorkFailed, match="could not be asked"):
        needs(nobody)


def test_a_database_that_is_gone_is_not_an_empty_registry(settings, store):
    gone = settings.model_copy(update={"mlflow_tracking_uri": f"sqlite:///{settings.root}/gone.db"})
    assert needs(gone).registered == frozenset()  # nothing was ever trained
    store.write_record("concepts/turtle/trained.jsonl", b"{}")
    with pytest.raises(InputError, match="is not there, though the store has trainings on record"):
        needs(gone)


def test_the_last_training_of_another_projects_concept_stays_until_it_is_forgotten(settings, store, monkeypatch):
    (settings.concepts_dir / "here").mkdir(parents=True)
    last, before = training(settings, 1), training(settings, 2)
    # In whatever form a newer version keeps it: what counts are the keys that it names.
    stages = [{"stage": stage, "key": manifest.key} for stage, manifest in last.items()]
    store.write_record("concepts/theirs/trained.jsonl", json.dumps({"schema": 99, "new": stages}).encode())
    store.write_record("concepts/theirs/failures-0.json", json.dumps({"key": "f" * 64}).encode())
    assert records_of_others(settings, store).keys() == {"theirs"}
    assert cleared(settings, monkeypatch) == places(before) - places(last)
    assert cleared(settings, monkeypatch, "theirs") == places(last)


def test_the_last_training_of_another_checkout_stays_though_its_concept_has_the_same_name(settings, store, monkeypatch):
    (settings.concepts_dir / "turtle").mkdir(parents=True)
    theirs, superseded = training(settings, 1), training(settings, 2)
    keys = [manifest.key for manifest in theirs.values()]
    store.write_record("concepts/turtle/trained.jsonl", json.dumps(keys).encode())
    assert cleared(settings, monkeypatch) == places(superseded) - places(theirs)
    store.write_record("concepts/turtle/trained.jsonl", b"{cut")
    with pytest.raises(
        InputError, match=r"names no artefact: what concept 'turtle' needs .*`conceptbooth train turtle`"
    ):
        needs(settings)


def test_what_another_project_has_registered_stays_until_its_own_gc_finds_it_gone(settings, tmp_path, monkeypatch):
    theirs = project(tmp_path / "theirs", store=settings.store)
    first, last = registered_and_remembered(theirs, 1), registered_and_remembered(theirs, 2)
    own = registered_and_remembered(settings, 3)  # the store's only record of a last training is now this one
    superseded = places(training(settings, 4))
    assert cleared(settings, monkeypatch) == superseded - first - last - own
    assert needs(settings).registered == own
    connect(theirs).delete_model_version("concept.turtle", "1")
    assert cleared(settings, monkeypatch) == set(), "nobody who could tell has been asked yet"
    assert cleared(theirs, monkeypatch) == first - last - own
    assert cleared(settings, monkeypatch) == set()
    with pytest.raises(
        InputError, match=r"it is this project's own, sqlite:.*\n.*no record .* on record: .*theirs"
    ) as caught:
        find_needs(settings, open_store(settings), [], Forgotten(registries=[registry_id(settings), "fa15e"]))
    assert len(caught.value.problems) == 2
    assert cleared(settings, monkeypatch, registries=(registry_id(theirs),)) == last - own


def test_a_record_of_another_registry_that_names_nothing_stops_everything(settings, store, tmp_path):
    theirs = project(tmp_path / "theirs", store=settings.store)
    registered_and_remembered(theirs, 1)
    store.write_record(training_record_path(theirs, "turtle", "c0" * 32), b"{cut")
    with pytest.raises(InputError, match=rf"theirs/.conceptbooth/mlflow/mlflow.db on .*{registry_id(theirs)}` removes"):
        needs(settings)


def test_a_record_that_cannot_be_read_stops_everything_until_it_is_forgotten(settings, store):
    store.write_record("concepts/theirs/trained.jsonl", b"{cut")
    with pytest.raises(InputError, match=r"concepts/theirs/trained.jsonl .* --forget theirs"):
        needs(settings)
    assert needs(settings, "theirs").recorded == frozenset()

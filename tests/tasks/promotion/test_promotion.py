"""Promotion and rollback over a real registry and real trainings: killed anywhere, raced, cut off, repeated.

Loading in a fresh process takes seconds of imports; it is real in tests/flows/production/test_promote.py and noted
here.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

import tasks.promotion.promotion
from model.errors import InputError, WorkFailed
from tasks.files.s3_url import S3Url
from tasks.production import release as releases
from tasks.production.ledger import Ledger, Promotion, read_ledger
from tasks.production.registry import disagreements, open_production, production_model, production_registry
from tasks.project.settings import Settings
from tasks.promotion.challengers import challengers, gate
from tasks.promotion.policy import Policy, Verdict
from tasks.promotion.promotion import (
    Overtaken,
    Promoted,
    Tell,
    check_production,
    put_into_production,
    roll_back,
    settle,
)
from tasks.promotion.source import find_source
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import CANDIDATE, CHAMPION, VersionReference
from tasks.registry.versions import GATE_TAG
from tasks.store.blobs import StoreFailed
from tasks.store.store import open_store
from tasks.tracking.client import TrackingUnreachable, connect
from tests.kills import killed_at
from tests.lineage_project import CONCEPT
from tests.s3 import relay
from tests.tasks.finished_training import migrated_database

NAME = f"concept.{CONCEPT}"


@pytest.fixture
def settings(lineage_project, tmp_path, monkeypatch) -> Iterator[Settings]:
    """The project of two versions, with a production of its own that is ready and empty."""
    shutil.copyfile(migrated_database(), tmp_path / "production.db")
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    changes = {
        "production_store": tmp_path / "production",
        "production_tracking_uri": f"sqlite:///{tmp_path}/production.db",
    }
    yield lineage_project.settings.model_copy(update=changes)
    connect(lineage_project.settings).delete_registered_model_alias(NAME, CHAMPION)


def promote(settings: Settings, version: int, reason: str = "better", tell: Tell = lambda _: None) -> Promoted:
    place = check_production(settings)
    ledger = read_ledger(place, CONCEPT)
    source = find_source(settings, open_store(settings), VersionReference.parse(f"{CONCEPT}/{version}"))
    return put_into_production(settings, place, ledger, source, (), {}, reason=reason, approved_by=None, tell=tell)


def back(settings: Settings, to: int | None = None) -> Promoted:
    return roll_back(settings, check_production(settings), CONCEPT, to=to, reason="handles come out twice")


def ledger_of(settings: Settings) -> Ledger:
    return read_ledger(open_production(settings), CONCEPT)


def serving(settings: Settings) -> int | None:
    """The development version that the alias stands for, as somebody who loads it finds out."""
    with production_registry(settings) as client:
        models = {model.name: model for model in client.search_registered_models()}
        if NAME not in models or CHAMPION not in models[NAME].aliases:
            return None
        release = client.get_model_version_by_alias(NAME, CHAMPION).tags["conceptbooth.release"]
    return next(record.version for record in ledger_of(settings).records if record.release == release)


def everything(settings: Settings) -> dict[str, tuple[int, int]]:
    """Every file of the production store with its size and time of change."""
    found = (path for path in settings.production_store.rglob("*") if path.is_file())
    kept = {path.relative_to(settings.production_store).as_posix(): path.stat() for path in found}
    return {n: (s.st_size, s.st_ino) for n, s in kept.items() if not n.startswith(("locks/", "spool/"))}


def test_promoting_again_changes_nothing(settings):
    first = promote(settings, 1)
    assert first.changed and serving(settings) == 1
    assert connect(settings).get_model_version_by_alias(NAME, CHAMPION).version == 1
    before = everything(settings)
    told: list[str] = []
    again = promote(settings, 1, tell=told.append)
    assert told == []
    assert (again.changed, again.record) == (False, first.record)
    assert everything(settings) == before
    with production_registry(settings) as client:
        assert len(client.search_model_versions(f"name = '{NAME}'")) == 1


def test_the_bytes_are_production_s_own(settings, lineage_project, tmp_path):
    record = promote(settings, 2).record
    place = open_production(settings)
    release = releases.read_release(place, CONCEPT, record.release)
    weights = release.files["model/artifacts/concept.safetensors"]
    assert weights.sha256 == lineage_project.last.manifests["train-3-unet"].files["concept.safetensors"].sha256
    with production_registry(settings) as client:
        source = client.get_model_version(NAME, str(record.production_version)).source
    assert source == (settings.production_store / release.place / "model").as_uri()
    assert record.stages == {stage: found.key for stage, found in lineage_project.last.manifests.items()}
    assert releases.damage(place, release) == []


def test_one_server_for_both_keeps_them_apart_by_name(settings):
    same = settings.model_copy(update={"production_tracking_uri": settings.mlflow_tracking_uri})
    assert production_model(same, CONCEPT) == "prod.concept.owl"
    assert production_model(settings, CONCEPT) == "concept.owl"
    try:
        assert promote(same, 1).record.model == "prod.concept.owl"
        client = connect(same)
        assert client.get_model_version_by_alias("prod.concept.owl", CHAMPION).version == 1
        assert len(client.search_model_versions(f"name = '{NAME}'")) == 2
    finally:
        connect(same).delete_registered_model("prod.concept.owl")


STEPS = [
    "assemble",
    "send",
    "sign_release",
    "register_release",
    "smoke_test",
    "append",
    "follow_ledger",
    "sign_ledger",
    "name_champion",
    "mark_settled",
]


@pytest.mark.parametrize(("step", "after"), [*((step, False) for step in STEPS), (STEPS[-1], True)])
def test_a_kill_between_any_two_steps_leaves_the_old_champion_and_the_same_command_finishes(settings, step, after):
    promote(settings, 1)
    killed_at(tasks.promotion.promotion, step, after, promote, settings, 2)
    alias_moved = STEPS.index(step) + after > STEPS.index("follow_ledger")
    assert serving(settings) == (2 if alias_moved else 1)
    done = promote(settings, 2)
    assert (serving(settings), done.record.seq, len(ledger_of(settings).records)) == (2, 2, 2)
    with production_registry(settings) as client:
        assert len(client.search_model_versions(f"name = '{NAME}'")) == 2
        assert disagreements(client, settings, ledger_of(settings)) == []
    assert not list((settings.home / "releasing").glob("*"))
    assert not promote(settings, 2).changed


@pytest.mark.parametrize("step", ["append", "follow_ledger", "name_champion"])
def test_a_killed_rollback_is_finished_and_not_done_twice(settings, step):
    for version in (1, 2):
        promote(settings, version)
    killed_at(tasks.promotion.promotion, step, True, back, settings)
    assert back(settings).record.seq == 3
    assert (serving(settings), len(ledger_of(settings).records)) == (1, 3)


def test_a_copy_that_was_broken_off_or_damaged_is_made_whole_and_nothing_else_is_sent_again(settings):
    promote(settings, 1)
    files = sorted(path for path in settings.production_store.rglob("releases/**/*") if path.is_file())
    weights = next(path for path in files if path.name == "concept.safetensors")
    before = everything(settings)
    weights.chmod(0o644)
    weights.write_bytes(b"\0" * weights.stat().st_size)
    files[-1].unlink()
    told: list[str] = []
    assert not promote(settings, 1, tell=told.append).changed
    assert [words.partition(" of ")[0] for words in told] == [
        "copying 1"
    ]  # the other is the document, which comes last
    again = everything(settings)
    changed = {name for name in before if again[name] != before[name]}
    assert {settings.production_store / name for name in changed} <= {weights, files[-1]}
    assert before.keys() == again.keys()


def test_of_two_promoters_one_wins_and_the_other_is_told(settings, monkeypatch):
    promote(settings, 1)
    real = tasks.promotion.promotion.append

    def overtaken(place, record: Promotion) -> bool:
        monkeypatch.setattr(tasks.promotion.promotion, "append", real)
        head = read_ledger(place, CONCEPT).head
        assert real(place, replace(head, seq=2, previous=head.seal, reason="quicker"))
        return real(place, record)

    monkeypatch.setattr(tasks.promotion.promotion, "append", overtaken)
    with pytest.raises(Overtaken, match=r"another promote was recorded meanwhile \(record 2, .*: version 1 serves"):
        promote(settings, 2)
    assert serving(settings) == 1


def test_a_slow_promoter_never_puts_back_what_the_ledger_no_longer_says(settings, monkeypatch):
    promote(settings, 1)
    real = tasks.promotion.promotion.follow_ledger

    def slow(client, name, head):
        monkeypatch.setattr(tasks.promotion.promotion, "follow_ledger", real)
        promote(settings, 2)  # while this one still means to name version 1
        return real(client, name, head)

    monkeypatch.setattr(tasks.promotion.promotion, "follow_ledger", slow)
    settle(settings, open_production(settings), CONCEPT)
    assert serving(settings) == 2


def test_rollback_goes_to_what_served_before_and_names_what_it_takes_back(settings):
    first = promote(settings, 1).record
    second = promote(settings, 2).record
    done = back(settings)
    assert (done.record.action, done.record.content, done.record.withdraws) == (
        "rollback",
        first.content,
        (second.content,),
    )
    assert serving(settings) == 1
    assert connect(settings).get_model_version_by_alias(NAME, CHAMPION).version == 1
    with pytest.raises(InputError, match="no earlier promotion can serve"):
        back(settings)
    with pytest.raises(InputError, match=r"promotion 2 \(version 2\) was taken out of production by record 3: handles"):
        back(settings, to=2)
    assert back(settings, to=1).changed is False
    with pytest.raises(InputError, match="no promotion 7; they go from 1 to 3"):
        back(settings, to=7)


def test_the_night_holds_back_what_was_rolled_back_though_it_had_passed_before(settings):
    """Version 2 was measured against version 1 before it served: after the rollback it would be as good as then."""
    store, client = open_store(settings), connect(settings)
    policy = Policy(minimum={"clip_i": -1})

    def measured() -> Verdict | None:
        registered = registered_versions(settings)
        verdicts = gate(settings, store, policy, challengers(settings, [registered[CONCEPT]], policy, CANDIDATE))
        return verdicts.get(CONCEPT)

    promote(settings, 1)
    try:
        passed = measured()
        assert passed is not None and passed.passed and measured() is None
        promote(settings, 2)
        back(settings)
        held = measured()
        assert held is not None and not held.passed and "handles come out twice" in held.said
        assert held.said.startswith("was taken out of production on ") and measured() is None
    finally:
        client.delete_model_version_tag(NAME, "2", GATE_TAG)


def test_rollback_refuses_bytes_that_are_not_what_they_were(settings):
    first = promote(settings, 1).record
    promote(settings, 2)
    weights = settings.production_store / releases.release_place(CONCEPT, first.release) / "model/artifacts"
    target = weights / "concept.safetensors"
    content = target.read_bytes()
    target.chmod(0o644)
    target.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WorkFailed, match=r"cannot serve again: model/artifacts/concept.safetensors: its bytes"):
        back(settings)
    assert serving(settings) == 2


def test_a_version_that_does_not_load_never_serves(settings, monkeypatch):
    promote(settings, 1)

    def fails(*_):
        raise WorkFailed("does not load in a fresh process")

    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", fails)
    with pytest.raises(WorkFailed, match="does not load"):
        promote(settings, 2)
    with pytest.raises(WorkFailed, match="does not load"):
        monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
        promote(settings, 2)
        monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", fails)
        back(settings)
    assert serving(settings) == 2


@pytest.mark.parametrize("step", ["register_release", "is_settled", "follow_ledger", "mark_settled"])
def test_a_registry_that_goes_away_at_any_step_costs_nothing(settings, monkeypatch, step):
    promote(settings, 1)
    real = getattr(tasks.promotion.promotion, step)

    def unreachable(*given, **named):
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(tasks.promotion.promotion, step, unreachable)
    with pytest.raises(TrackingUnreachable, match=r"production registry: .* does not answer: Connection refused"):
        promote(settings, 2)
    assert serving(settings) == (2 if step == "mark_settled" else 1)
    monkeypatch.setattr(tasks.promotion.promotion, step, real)
    promote(settings, 2)
    assert (serving(settings), len(ledger_of(settings).records)) == (2, 2)


def test_a_registry_that_was_never_there_is_named(settings):
    nobody = settings.model_copy(
        update={"production_tracking_uri": "http://127.0.0.1:9", "production_store": S3Url(bucket="abc", prefix="")}
    )
    with (
        pytest.raises(
            TrackingUnreachable, match=r"production registry: MLflow at http://127\.0\.0\.1:9 does not answer"
        ),
        production_registry(nobody),
    ):
        pass


def test_a_server_of_mlflow_cannot_load_from_a_folder(settings):
    odd = settings.model_copy(update={"production_tracking_uri": "http://mlflow.example:5000"})
    with pytest.raises(InputError, match="a server of MLflow loads no model from a folder; name a bucket"):
        check_production(odd)


def test_a_bucket_without_conditional_writes_is_refused(settings, s3_bucket, s3_server, monkeypatch):
    with relay(s3_server) as before:
        before.ignored_headers = {"if-none-match", "if-match"}
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", before.url)
        inside = settings.model_copy(update={"production_store": S3Url(bucket=s3_bucket, prefix="production")})
        with pytest.raises(InputError, match="does not create exclusively"):
            check_production(inside)


def test_a_production_store_that_stops_answering_loses_nothing(settings, s3_bucket, s3_server, monkeypatch):
    monkeypatch.setattr("tasks.store.s3._TRIES", 1)
    with relay(s3_server) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", before.url)
        inside = settings.model_copy(update={"production_store": S3Url(bucket=s3_bucket, prefix="production")})
        before.answer, before.concerns = (503, "SlowDown"), "concept.safetensors"
        with pytest.raises(StoreFailed, match="503"):
            promote(inside, 1)
        assert ledger_of(inside).records == ()
        before.answer = None
        assert promote(inside, 1).changed
        sent = len([path for method, path in before.seen if method == "PUT" and "/releases/" in path])
        assert not promote(inside, 1).changed
        assert len([path for method, path in before.seen if method == "PUT" and "/releases/" in path]) == sent


def test_what_was_changed_behind_our_back_is_reported_and_put_right(settings):
    promote(settings, 1)
    promote(settings, 2)
    with production_registry(settings) as client:
        client.set_registered_model_alias(NAME, CHAMPION, "1")
        (problem,) = disagreements(client, settings, ledger_of(settings))
        assert problem == f"{NAME}: alias champion names version 1, the ledger says version 2"
        client.delete_model_version(NAME, "2")
        assert f"{NAME}: version 2 was deleted, and the ledger names it" in disagreements(
            client, settings, ledger_of(settings)
        )
    done = promote(settings, 2)
    assert (done.changed, done.record.production_version, serving(settings)) == (True, 3, 2)


def test_a_ledger_that_was_cut_off_shows_in_the_registry(settings):
    promote(settings, 1)
    promote(settings, 2)
    (settings.production_store / "promotions" / CONCEPT / "000002.json").unlink()
    with production_registry(settings) as client:
        problems = disagreements(client, settings, ledger_of(settings))
    assert problems[-1] == f"{NAME}: its ledger had record 2 with another content: records were removed or rewritten"

"""Every record that the store keeps: one changed byte is found and named, and mended where something else tells it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.concepts.takedown_memory import current_takedowns
from tasks.concepts.takedown_records import Takedown, begin_takedown, finish_takedown, read_takedowns
from tasks.plan.last_training import LastTraining, last_training_path, write_last_training
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.registry.store_records import record_paths, registry_id
from tasks.registry.version_records import VersionRecord, version_records
from tasks.store.store import Store, open_store
from tasks.upkeep.mending import mend_records
from tasks.verification.chain import verify_version
from tasks.verification.records import examine_records
from tests.lineage_project import CONCEPT, copy_of, remember
from tests.made_stages import MadeStages


@pytest.fixture
def settings(lineage_project, tmp_path) -> Settings:
    """Two versions, whose records are those of the copy's own registry, and two takedowns."""
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    store = open_store(settings)
    for made in (lineage_project.first, lineage_project.last):
        own = MadeStages(replace(made.job, settings=settings))
        own.manifests = made.manifests
        remember(own, register(settings, made.job.concept, made.manifests).version)
    for number in (1, 2):
        finish_takedown(store, begin_takedown(store, lambda n, number=number: takedown(n, f"{number}" * 64)))
    return settings


def takedown(number: int, sha256: str) -> Takedown:
    return Takedown(
        number=number,
        sha256=sha256,
        images={sha256: None},
        sets=(),
        revoked={},
        found={},
        reason="asked",
        by="ada",
        at="2026-11-30T20:00:00+00:00",
    )


def records(settings: Settings) -> list[str]:
    store = open_store(settings)
    return [path for prefix in ("concepts/", "registries/", "takedowns/") for path in store.records(prefix)]


def test_every_record_is_sealed_and_one_changed_byte_anywhere_is_named(settings):
    store = open_store(settings)
    assert examine_records(store).problems == {} and examine_records(store).unsealed == ()
    for path in records(settings):
        content = store.record(path).content
        for at in sorted({*range(0, len(content), len(content) // 40 + 1), len(content) - 1}):
            for changed in (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content[:at], content + b"x"):
                store.write_record(path, changed)
                assert path in examine_records(store).problems, (path, at)
        store.write_record(path, content)
    assert examine_records(store).problems == {}


def test_verify_and_gc_name_a_damaged_record(settings):
    store, path = open_store(settings), last_training_path(CONCEPT)
    content = store.record(path).content
    store.write_record(path, content.replace(b'"version": 2', b'"version": 7'))
    assert any(
        path in check.what
        for check in verify_version(settings, store, VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    )
    assert LastTraining.from_json(store.record(path).content) is None


def test_an_old_copy_that_was_put_back_is_seen(settings):
    store, path = open_store(settings), last_training_path(CONCEPT)
    read = {p: LastTraining.read(store.record(p).content) for p in records(settings) if p.endswith(".jsonl")}
    older = next(p for p, record in read.items() if record.version == 1 and p != path)
    store.write_record(path, store.record(older).content)
    assert "which came after it" in examine_records(store).problems[path]
    assert [each.state for each in mend_records(settings, store, examine_records(store), dry_run=False)] == ["mended"]
    assert LastTraining.read(store.record(path).content).version == 2


def test_a_record_in_another_s_place_is_seen(settings):
    store = open_store(settings)
    told = [path for path in record_paths(store, settings) if path.endswith(".json")]
    assert len(told) == 2
    store.write_record(told[1], store.record(told[0]).content)
    assert "put in the place of another" in examine_records(store).problems[told[1]]


def test_a_version_record_that_was_rewritten_breaks_what_follows_it(settings):
    store = open_store(settings)
    one, two = [path for path in record_paths(store, settings) if path.endswith(".json")]
    record = VersionRecord.from_json(store.record(one).content)
    store.write_record(one, replace(record, source="elsewhere").to_json())
    assert "does not follow the record of version 1" in examine_records(store).problems[two]


def mended(settings: Settings, store: Store) -> dict[str, str]:
    done = list(mend_records(settings, store, examine_records(store), dry_run=False))
    return {each.path: each.state for each in done}


def test_what_manifests_registry_or_another_record_tell_is_mended(settings):
    store = open_store(settings)
    before = {path: store.record(path).content for path in records(settings)}
    told = version_records(store, settings)
    damaged = {path for path in before if path.startswith(("concepts/", "registries/"))}
    for path in damaged:
        store.write_record(path, before[path][: len(before[path]) // 2])
    state = mended(settings, store)
    theirs = {path for path in damaged if path.startswith("registries/") and registry_id(settings) not in path}
    told_here = {path for path in theirs if path.endswith(".jsonl")}  # another project's, of which manifests tell
    assert state == {path: "lost" if path in theirs - told_here else "mended" for path in damaged}
    assert set(examine_records(store).problems) == theirs - told_here
    assert version_records(store, settings) == told
    for path in (path for path in before if path.endswith(".jsonl")):
        now, was = (LastTraining.read(content) for content in (store.record(path).content, before[path]))
        assert (now.content, now.stages, now.images, now.scores, now.facts) == (
            was.content,
            was.stages,
            was.images,
            was.scores,
            was.facts,
        )


def test_a_damaged_takedown_is_named_and_left_to_who_has_a_copy(settings):
    store = open_store(settings)
    assert [t.finished is not None for t in read_takedowns(store).takedowns] == [False, False]
    path = next(path for path in records(settings) if path.endswith("000001.finished.json"))
    store.write_record(path, b"{}")
    assert mended(settings, store) == {path: "lost"}
    first = Path(settings.store) / "takedowns" / "000001.json"
    shutil.copyfile(first, first.with_name("copy"))
    first.unlink()
    assert any("is missing" in said for said in examine_records(store).problems.values())


def cut_off(store: Store, number: int) -> None:
    for path in store.records("takedowns/"):
        if path.startswith(f"takedowns/{number:06}"):
            store.delete_record(path)


@pytest.mark.parametrize("known_by", ["this machine", "the registry"])
def test_the_newest_takedown_is_missed(settings, known_by):
    store, memory = open_store(settings), settings.home / "takedowns.json"
    assert len(current_takedowns(settings, store).takedowns) == 2 and memory.is_file()
    cut_off(store, 2)
    assert examine_records(store).problems == {}  # the chain that is left is whole
    if known_by == "the registry":  # another machine, which never read them
        memory.unlink()
    said = "000002.json of the store .* was removed: " + ("this machine" if known_by == "this machine" else "the reg")
    with pytest.raises(InputError, match=said):
        current_takedowns(settings, store)
    proof = verify_version(settings, store, VersionReference.parse(f"{CONCEPT}/2"))
    assert any(check.what == "takedowns" for check in proof.of("fault"))
    other = begin_takedown(store, lambda number: takedown(number, "7" * 64))
    assert other.number == 2
    with pytest.raises(InputError, match="another one than it was"):  # in its place
        current_takedowns(settings, store)


def test_a_memory_that_was_damaged_is_named(settings):
    memory = settings.home / "takedowns.json"
    current_takedowns(settings, open_store(settings))
    for content in ("[]", "{", '{"a": 3}'):
        memory.write_text(content)
        with pytest.raises(InputError, match=r"takedowns\.json"):
            current_takedowns(settings, open_store(settings))


def test_an_unchanged_record_is_not_written_again(settings):
    store, path = open_store(settings), last_training_path(CONCEPT)
    record = store.record(path)
    write_last_training(store, settings, LastTraining.read(record.content))
    assert store.record(path).version == record.version

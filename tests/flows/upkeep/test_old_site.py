"""A site that commit 29f5cd8 left plans, draws, verifies, serves, rolls back, promotes, and is brought up to date."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import tasks.promotion.promotion
from flows.cli.app import app
from model.bases.recorded_base import BASE_VARIABLE
from tasks.concepts.takedown_records import read_takedowns
from tasks.files.hashing import file_digest
from tasks.plan.plan import make_plan
from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production, production_model
from tasks.production.release import MODEL, read_release
from tasks.project.settings import Settings, load_settings
from tasks.promotion.smoke_test import smoke_test
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.package_listing import LISTING, write_listing
from tasks.registry.reference import VersionReference
from tasks.registry.versions import GATE_TAG, PACKAGE_TAG, local_folder, version_damage
from tasks.signing.keys import public_key_of
from tasks.signing.trusted_keys import load_trusted_keys
from tasks.store.sealed import sealed, sealed_lines
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tasks.verification.chain import verify_version
from tasks.verification.records import examine_records
from tests.old_site_project import CONCEPT, unpack_old_site
from tests.tasks.keys import write_key

SCORES = ("not_worse_than_champion.clip_i", "not_worse_than_champion.clip_t")
AGAIN = ("--reason", "ears are back", *(word for gate in ("withdrawn", *SCORES) for word in ("--override", gate)))
"""Tiny models score as it happens; what was rolled back comes back by an override alone."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = unpack_old_site(tmp_path)
    monkeypatch.chdir(settings.root)
    return settings


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def everything(settings: Settings) -> dict[str, bytes]:
    store = Path(str(settings.store))
    files = {path.relative_to(store).as_posix(): path for path in store.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(("locks/", "spool/"))}


def test_it_plans_verifies_and_knows_what_was_taken_down(settings):
    (plan,) = make_plan(settings, [CONCEPT]).concepts
    assert plan.state == "stale" and plan.trained is not None and plan.causes
    store = open_store(settings)
    for version in (1, 2):
        found = verify_version(settings, store, VersionReference.parse(f"{CONCEPT}/{version}"))
        assert (found.of("fault"), found.of("unchecked")) == ((), ())
        assert found.words == "verified (sealed, not signed)"
    (takedown,) = read_takedowns(store).takedowns
    assert takedown.finished and takedown.reason == "consent was withdrawn"
    assert len(examine_records(store).unsealed) == 6 and not examine_records(store).problems


def test_it_draws_rolls_back_and_promotes(settings, tmp_path, monkeypatch):
    drawn = run("generate", f"{CONCEPT}/1", "a photo of a {} in the snow", "--output", tmp_path / "drawn", "--count", 1)
    assert drawn.exit_code == 0, drawn.output
    assert list((tmp_path / "drawn").rglob("*.png"))
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    promoted = run("promote", f"{CONCEPT}/2", *AGAIN, "--json")
    assert promoted.exit_code == 0, promoted.output
    assert json.loads(promoted.stdout)["seq"] == 4
    back = run("rollback", CONCEPT, "--to", 1, "--reason", "no, they are not", "--json")
    assert back.exit_code == 0, back.output
    ledger = read_ledger(open_production(settings), CONCEPT)
    assert [record.action for record in ledger.records] == ["promote", "promote", "rollback", "promote", "rollback"]
    assert ledger.serving.version == 1
    assert run("releases", CONCEPT).exit_code == 0


def test_what_it_serves_loads_in_a_fresh_process(settings, monkeypatch):
    monkeypatch.setenv(BASE_VARIABLE, str(settings.root / "base"))  # it names the folder of the machine that made it
    serving = read_ledger(open_production(settings), CONCEPT).serving
    release = read_release(open_production(settings), CONCEPT, serving.release)
    listed = {name: file.sha256 for name, file in release.below(MODEL).items()}
    assert smoke_test(settings, production_model(settings, CONCEPT), serving.production_version, listed)


def test_an_upgrade_seals_what_is_there_and_a_second_one_finds_nothing(settings):
    before = everything(settings)
    dry = run("upgrade", "--dry-run", "--json")
    assert everything(settings) == before and dry.exit_code == 0
    done = run("upgrade", "--json")
    steps = json.loads(done.stdout)["steps"]
    assert steps == json.loads(dry.stdout)["steps"] and done.exit_code == 0
    assert {step["state"] for step in steps} == {"sealed", "unprovable"}
    assert "set a signing_key to vouch for them" in steps[-1]["said"]
    store = open_store(settings)
    found = examine_records(store)
    assert (found.unsealed, found.problems) == ((), {})
    changed = {name for name, content in everything(settings).items() if before.get(name) != content}
    assert {name.partition("/")[0] for name in changed} == {"concepts", "registries", "takedowns", "upgrades"}
    assert [step["state"] for step in json.loads(run("upgrade", "--json").stdout)["steps"]] == ["unprovable"]
    assert "sealed, not signed" in run("upgrade").output
    assert not verify_version(settings, store, VersionReference.parse(f"{CONCEPT}/1")).of("fault")
    assert read_takedowns(store).takedowns[0].finished and make_plan(settings, [CONCEPT]).concepts[0].trained


@pytest.fixture
def keyed(settings, tmp_path, monkeypatch) -> Settings:
    """The same with the key of a worker and that of who releases."""
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(write_key(tmp_path / "desk.pem")))
    monkeypatch.setenv("CONCEPTBOOTH_TRAINING_KEY", str(write_key(tmp_path / "worker.pem")))
    return load_settings(settings.root)


def test_with_keys_it_says_who_vouches_for_what_and_what_stays_unprovable(keyed, tmp_path, monkeypatch):
    store = open_store(keyed)
    assert any(
        "is not signed" in check.said
        for check in verify_version(keyed, store, VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    )
    done = run("upgrade", "--json")
    assert done.exit_code == 0, done.output
    states = [step["state"] for step in json.loads(done.stdout)["steps"]]
    assert (states.count("signed"), states.count("sealed")) == (3, 8)  # a ledger, two releases; records, two packages
    assert states.count("vouched for") == len(store.artefacts())
    assert json.loads(run("upgrade", "--json").stdout)["steps"] == []
    proof = verify_version(keyed, store, VersionReference.parse(f"{CONCEPT}/2"))
    assert (proof.of("fault"), proof.of("unchecked")) == ((), ())
    said = proof.of("unprovable")
    assert len(said) == 6 and all("vouched for it on" in check.said for check in said)
    assert all("what was before that cannot be proved" in check.said for check in said)
    assert proof.words == "verified, except 6 things of before that cannot be proved"
    (tmp_path / "public.pem").write_bytes(public_key_of(keyed))
    assert run("verify-release", keyed.store, "--key", tmp_path / "public.pem").exit_code == 0
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    assert run("promote", f"{CONCEPT}/2", *AGAIN).exit_code == 0
    assert read_ledger(open_production(keyed), CONCEPT).head.signature is not None


def test_what_changed_since_somebody_vouched_for_it_is_a_fault(keyed):
    assert run("upgrade").exit_code == 0
    store = open_store(keyed)
    (address,) = [Path(store.manifest_address(*place)) for place in store.artefacts() if place[0] == "prepare"][:1]
    from tasks.store.manifest import Manifest

    facts = json.loads(address.read_text())
    facts["device"] = "another"
    del facts["seal"]
    address.chmod(0o644)
    address.write_text(Manifest.from_json(json.dumps(facts)).to_json())
    faults = verify_version(keyed, store, VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    assert any(check.what.startswith("prepare") and "is not signed" in check.said for check in faults)


FORGED = {
    "a training": (f"concepts/{CONCEPT}/trained.jsonl", {"version": 7}),
    "a version": ("registries/*/owl/000001.json", {"source": "/tmp/elsewhere"}),
    "a takedown": ("takedowns/000001.json", {"reason": "asked by nobody"}),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_record_that_somebody_without_a_key_writes_is_named_and_nothing_is_built_on_it(keyed, kind):
    """Its seal holds: anybody can make one."""
    assert run("upgrade").exit_code == 0
    store = open_store(keyed)
    assert not examine_records(store, keys=load_trusted_keys(keyed)).unsigned
    place, changed = FORGED[kind]
    (file,) = Path(str(keyed.store)).glob(place)
    file.chmod(0o644)
    file.write_bytes(forged(file.read_bytes(), changed))
    assert not examine_records(store).problems
    path = file.relative_to(str(keyed.store)).as_posix()
    faults = verify_version(keyed, store, VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    assert [check.what for check in faults] == [f"record {path}: signature"]
    doctor = run("doctor")
    assert doctor.exit_code == 1 and f"{path}:isnotsigned" in "".join(doctor.output.split())
    if kind == "a version":
        rebuilt = run("registry", "rebuild", "--dry-run")
        assert rebuilt.exit_code == 2 and "is not signed" in rebuilt.output


def forged(content: bytes, changed: dict[str, object]) -> bytes:
    """The record with other words, sealed by nobody."""
    first, end, rest = content.partition(b"\n") if content.count(b"\n{") == 2 else (content, b"", b"")
    says = {**json.loads(first), **changed}
    if not end:
        del says["seal"], says["signature"]
        return sealed("x", says)
    facts, _, told = rest.partition(b"\n")
    return sealed_lines(
        "x", json.dumps(says).encode() + end + facts + b"\n", {"previous": json.loads(told)["previous"]}
    )


def test_records_of_before_there_were_keys_are_vouched_for(settings, tmp_path, monkeypatch):
    assert run("upgrade").exit_code == 0  # sealed, by nobody
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(write_key(tmp_path / "desk.pem")))
    monkeypatch.setenv("CONCEPTBOOTH_TRAINING_KEY", str(write_key(tmp_path / "worker.pem")))
    keyed, store = load_settings(settings.root), open_store(settings)
    keys = load_trusted_keys(keyed)
    before = examine_records(store, keys=keys).unsigned
    assert len(before) >= 6 and all(each.problem for each in before.values())
    assert run("upgrade").exit_code == 0
    after = examine_records(store, keys=keys).unsigned
    assert after.keys() == before.keys() and not any(each.problem for each in after.values())
    proof = verify_version(keyed, store, VersionReference.parse(f"{CONCEPT}/2"))
    assert not proof.of("fault") and "vouched for it on" in str(proof.of("unprovable"))


def test_a_cleared_tag_is_mended_by_no_forged_record(keyed):
    assert run("upgrade").exit_code == 0
    (file,) = Path(str(keyed.store)).glob("registries/*/owl/000001.json")
    told = json.loads(file.read_bytes())["tags"]
    file.chmod(0o644)
    file.write_bytes(forged(file.read_bytes(), {"tags": {**told, GATE_TAG: "passed", "conceptbooth.own": "x"}}))
    mend_cleared_tags(keyed, CONCEPT)
    client = connect(keyed)
    assert not {GATE_TAG, "conceptbooth.own"} & client.get_model_version(f"concept.{CONCEPT}", "1").tags.keys()


def test_packages_of_before_get_the_digest_of_their_list(settings):
    client, name = connect(settings), f"concept.{CONCEPT}"
    assert PACKAGE_TAG not in client.get_model_version(name, "1").tags
    assert run("upgrade").exit_code == 0
    version = client.get_model_version(name, "1")
    package = local_folder(client.get_model_version_download_uri(name, "1"))
    assert version.tags[PACKAGE_TAG] == file_digest(package / LISTING)
    (package / "code" / "model" / "planted.py").write_text("planted = True\n")
    write_listing(package)  # it fits itself again
    assert "is not the one that was registered" in str(version_damage(client, settings, version))


def test_damaged_records_of_before_are_mended_where_something_else_tells_them(settings):
    store = open_store(settings)
    content = store.record(f"concepts/{CONCEPT}/trained.jsonl").content
    store.write_record(f"concepts/{CONCEPT}/trained.jsonl", content[: len(content) // 2])
    doctor = run("doctor")
    assert "concepts/owl/trained.jsonl" in doctor.output and doctor.exit_code == 1
    steps = json.loads(run("upgrade", "--json").stdout)["steps"]
    assert [step["what"] for step in steps if step["state"] == "mended"] == ["record concepts/owl/trained.jsonl"]
    assert not examine_records(store).problems

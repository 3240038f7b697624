"""promote, rollback, releases, verify-release through the command line; production is a bucket and a registry apart."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner, Result

import tasks.promotion.promotion
from flows.cli.app import app
from tasks.files.hashing import file_digest
from tasks.production.ledger import read_ledger, record_path
from tasks.production.registry import open_production
from tasks.project.settings import load_settings
from tasks.promotion.policy import POLICY_FILE
from tasks.promotion.revocation import revoke
from tasks.promotion.smoke_test import smoke_test
from tasks.registry.reference import CANDIDATE, CHAMPION
from tasks.registry.registration import register
from tasks.registry.store_records import version_record_paths
from tasks.store.s3 import s3_client
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tasks.upkeep.reconciliation import reconcile
from tests.lineage_project import CONCEPT, copy_of
from tests.tasks.finished_training import migrated_database
from tests.tasks.lineage.test_lineage import moved_away

POLICY = {
    "minimum": {"clip_i": -1},
    "lineage": "verified",
    "git_clean": True,
    "stated": ["licence", "consent"],
    "evaluated_on": {"prompts": 2, "images": 4},
    "promotion_reason": False,
}


@pytest.fixture
def project(lineage_project, tmp_path, monkeypatch, s3_bucket) -> Iterator[Path]:
    """The project's folder; commands find its production in the environment."""
    root = lineage_project.settings.root
    shutil.copyfile(migrated_database(), tmp_path / "production.db")
    key, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name, pair in (("public", key), ("stranger", stranger)):
        public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pem").write_bytes(public)
    usual = (root / POLICY_FILE).read_text()
    (root / POLICY_FILE).write_text(yaml.safe_dump(POLICY))
    monkeypatch.setenv("CONCEPTBOOTH_PRODUCTION_STORE", f"s3://{s3_bucket}/production")
    monkeypatch.setenv("CONCEPTBOOTH_PRODUCTION_TRACKING_URI", f"sqlite:///{tmp_path}/production.db")
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
    monkeypatch.chdir(root)
    yield root
    (root / POLICY_FILE).write_text(usual)
    connect(lineage_project.settings).delete_registered_model_alias(f"concept.{CONCEPT}", CHAMPION)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: object) -> list[str]:
    result = run(*arguments, "--json")
    assert result.exit_code == 2, result.output
    return json.loads(result.stderr)["problems"]


def test_a_version_is_promoted_drawn_rolled_back_shown_and_proved(project, tmp_path, s3_bucket, monkeypatch):
    monkeypatch.setattr(
        tasks.promotion.promotion, "smoke_test", smoke_test
    )  # the real one: a fresh process, out of the bucket
    first = done("promote", CONCEPT, "--version", 1, "--reason", "the first that has ears")
    assert (first["changed"], first["version"], first["model"], first["seq"]) == (True, 1, "concept.owl", 1)
    monkeypatch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))

    result = run("promote", CONCEPT)
    assert result.exit_code == 1
    assert "owl version 2 is not promoted: 1 of 8 gates failed" in result.stderr
    assert "git_clean  train-3-unet was made from files that differ from commit" in result.stderr
    result = run("promote", CONCEPT, "--json")
    assert [gate["gate"] for gate in json.loads(result.stdout)["gates"] if not gate["passed"]] == ["git_clean"]

    second = done("promote", CONCEPT, "--override", "git_clean", "--reason", "a trial rate, on purpose")
    assert second["overridden"] == {"git_clean": "a trial rate, on purpose"}
    again = done("promote", CONCEPT)
    assert (again["changed"], again["seq"], again["overridden"]) == (False, 2, second["overridden"])

    rolled = done("rollback", CONCEPT, "--reason", "handles come out twice")
    assert (rolled["action"], rolled["version"], rolled["seq"]) == ("rollback", 1, 3)
    result = run("promote", CONCEPT, "--override", "git_clean", "--reason", "again")
    assert result.exit_code == 1
    assert "withdrawn  taken out of production on " in result.stderr
    assert "(record 3): handles come out twice" in result.stderr

    shown = done("releases", CONCEPT)["releases"]
    assert [(entry["seq"], entry["action"], entry["version"], entry["serves"]) for entry in shown] == [
        (3, "rollback", 1, True),
        (2, "promote", 2, False),
        (1, "promote", 1, False),
    ]
    table = run("releases").stdout
    assert "1 (serves)" in table
    assert "2 (taken back)" in table
    assert reconcile(load_settings()) == []
    monkeypatch.setenv("CONCEPTBOOTH_PRODUCTION_TRACKING_URI", f"sqlite:///{tmp_path}/lost.db")
    assert reconcile(load_settings()) == ["concept.owl: the production registry has no such model"]
    assert run("releases").exit_code == 1

    place = f"s3://{s3_bucket}/production"
    monkeypatch.chdir(tmp_path)  # no project here
    proved = done("verify-release", place, "--key", tmp_path / "public.pem")
    [owl] = proved["concepts"]
    assert (owl["concept"], owl["serves"], owl["newest"]["seq"]) == (CONCEPT, 1, 3)
    assert proved["newest_records"] == {CONCEPT: owl["newest"]}
    assert [record["signed_by"] for record in owl["records"]] == [proved["key"]] * 3
    states = {release["version"]: (release["state"], release["signed_by"]) for release in owl["releases"]}
    assert states == {1: ("serves", proved["key"]), 2: ("taken back", proved["key"])}
    [serving] = [release for release in owl["releases"] if release["state"] == "serves"]
    assert serving["records"] == [1, 3] and serving["id"] == first["release"]
    assert {"model/MLmodel", "lineage/evaluate.json", "provenance.json"} <= {file["name"] for file in serving["files"]}
    images = sorted((project / "data" / "concepts" / CONCEPT / "images").iterdir())
    assert {image["sha256"] for image in serving["images"]} == {file_digest(image) for image in images}
    told = run("verify-release", place, "--key", tmp_path / "public.pem", "--html", tmp_path / "releases.html").stdout
    assert f"version 1, serves; release {first['release'][:12]}; signed by key {proved['key']}" in told
    page = (tmp_path / "releases.html").read_text()
    for said in (place, proved["key"], first["release"], serving["images"][0]["sha256"], "handles come out twice"):
        assert said in page
    assert (proved["verified"], proved["faults"], proved["unchecked"]) == (True, [], [])
    result = run("verify-release", place, "--key", tmp_path / "stranger.pem")
    assert result.exit_code == 1
    assert "not signed by this key" in result.stdout and f"signed by key {proved['key']}" not in result.stdout
    assert result.stdout.count("does not match") == 3, result.output  # two releases and the ledger
    manifest = f"production/releases/owl/{first['release'][:16]}/lineage/train-2-cross_attention.json"
    content = s3_client().get_object(Bucket=s3_bucket, Key=manifest)["Body"].read()
    s3_client().put_object(Bucket=s3_bucket, Key=manifest, Body=content.replace(b"0.0", b"0.1", 1))
    result = run("verify-release", place, "--key", tmp_path / "public.pem")
    assert result.exit_code == 1 and "lineage/train-2-cross_attention.json: its bytes have changed" in result.stdout


def at_80_columns(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_promotion_says_why_and_several_at_once_have_one_summary(project):
    asks = {name: value for name, value in POLICY.items() if name != "promotion_reason"}
    (project / POLICY_FILE).write_text(yaml.safe_dump(asks))
    for arguments in ([CONCEPT], ["--all-passing"]):
        (problem,) = refused("promote", *arguments)
        assert problem.startswith("--reason TEXT is needed") and "promotion_reason: false" in problem

    held = run("promote", "--all-passing", "--reason", "the week's release")
    assert held.exit_code == 0 and f"{CONCEPT} version 2: held back" in held.stdout, held.output
    assert "git_clean: train-3-unet was made from files that differ" in held.stdout and "1 held back" in held.stderr

    (project / POLICY_FILE).write_text(yaml.safe_dump(asks | {"git_clean": False}))
    (promoted,) = done("promote", "--all-passing", "--reason", "the week's release, as it was shown to everybody")
    assert (promoted["concept"], promoted["result"], promoted["seq"]) == (CONCEPT, "promoted", 1)
    (again,) = done("promote", "--all-passing", "--reason", "once more")
    assert again["result"] == "serves already"
    said = run("promote", CONCEPT).stdout  # nothing is promoted, so nobody asks why
    assert f"{CONCEPT} version 2 serves already, in production since record 1; nothing was changed" in said
    assert run("promote", CONCEPT, "--all-passing", "--reason", "x").exit_code == 2

    shown = at_80_columns("releases")
    assert max(len(line) for line in shown.splitlines()) <= 80 and "version 2 (serves)" in shown
    assert "the week's release, as it was shown to everybody (" in " ".join(shown.split())
    compared = at_80_columns("diff", CONCEPT, "1", "2")
    scores = [line for line in compared.splitlines() if "CLIP-" in line]
    assert len(scores) > 4 and max(map(len, scores)) <= 80


def test_what_the_ledger_names_is_not_deleted_and_said_where_others_did(
    project, lineage_project, tmp_path, monkeypatch
):
    settings = copy_of(lineage_project.settings, tmp_path / "copy")
    monkeypatch.chdir(settings.root)
    for made in (lineage_project.first, lineage_project.last):
        register(settings, made.job.concept, made.manifests)  # so that the store knows it of the copy's registry
    done("promote", CONCEPT, "--version", 1, "--override", "git_clean", "--reason", "the first")
    problems = refused("registry", "delete", f"{CONCEPT}/1", "--yes")
    assert problems[0] == "concept.owl version 1 is owl@champion: give that alias to another version first"
    assert problems[1].startswith(
        "concept.owl version 1 is named by the production ledger (record 1): what was promoted"
    )
    assert refused("registry", "delete", f"{CONCEPT}/2") == [
        "concept.owl version 2 is owl@candidate: give that alias to another version first"
    ]
    client = connect(settings)
    for alias in (CANDIDATE, CHAMPION):
        client.delete_registered_model_alias("concept.owl", alias)
    assert "nobody is here to be asked" in refused("registry", "delete", f"{CONCEPT}/2")[0]
    assert "say which version" in refused("registry", "delete", CONCEPT)[0]
    assert done("registry", "delete", f"{CONCEPT}/2", "--dry-run")["deleted"] is False
    assert done("registry", "delete", f"{CONCEPT}/2", "--yes") == {
        "version": "concept.owl version 2",
        "dry_run": False,
        "deleted": True,
    }
    assert refused("registry", "delete", f"{CONCEPT}/2") == [
        "concept 'owl' has no version 2; versions: 1; aliases: none"
    ]
    store = open_store(settings)
    assert [path[-11:] for path in version_record_paths(store, settings)] == ["000001.json"] and reconcile(
        load_settings()
    ) == []
    client.delete_model_version("concept.owl", "1")  # behind our back
    said = "concept.owl: version 1 was deleted, and the ledger names it (record 1)"
    assert reconcile(load_settings()) == [said]
    shown = run("releases")
    assert shown.exit_code == 1 and said in shown.stderr


def test_bad_input_is_named_before_anything_is_done(project, lineage_project, tmp_path, monkeypatch):
    assert refused("promote", "nobody") == ["concept 'nobody': there is none; there are: owl, turtle; registered: owl"]
    assert refused("promote", CONCEPT, "--version", 9) == [
        "concept 'owl' has no version 9; versions: 1, 2; aliases: @candidate (version 2)"
    ]
    assert refused("promote", f"{CONCEPT}@nightly")[0].startswith(
        "concept 'owl' has no alias 'nightly'; versions: 1, 2"
    )
    assert refused("promote", f"{CONCEPT}/1", "--version", 2) == ["owl/1 and --version 2: name the version once"]
    problems = refused("promote", CONCEPT, "--override", "git_cleen")
    assert problems[0].startswith("--override git_cleen: there is no such gate; there are: minimum.clip_i, lineage,")
    assert problems[1] == "--override: say why with --reason TEXT; it is kept for ever"
    evaluation = lineage_project.last.manifests["evaluate"].key
    with moved_away(lineage_project.settings.store / "stages" / "evaluate" / evaluation):
        (problem,) = refused("promote", CONCEPT)
    assert problem.startswith("concept 'owl' version 2 has no evaluation in the store: ")
    assert "nothing is promoted unseen: `conceptbooth train owl` makes it again" in problem
    prepared = lineage_project.last.manifests["prepare"].key
    with moved_away(lineage_project.settings.store / "stages" / "prepare" / prepared):
        (problem,) = refused("promote", CONCEPT, "--override", "lineage", "--reason", "in a hurry")
    assert problem.startswith("concept 'owl' version 2: which images it was made from is not known: prepare ")
    assert refused("rollback", CONCEPT) == ["concept 'owl' was never promoted: there is nothing to roll back"]
    assert refused("releases", CONCEPT) == ["concept 'owl' was never promoted"]
    (problem,) = refused("verify-release", tmp_path, "--key", tmp_path / "public.pem")
    assert problem.endswith("holds no ledger: nothing was ever promoted there")
    assert refused("verify-release", tmp_path / "none", "--key", tmp_path / "public.pem")[0].endswith(
        "there is no such folder; a bucket is written s3://bucket/prefix"
    )
    monkeypatch.setenv("CONCEPTBOOTH_SIGNING_KEY", str(tmp_path / "production.db"))
    assert "no private key of an elliptic curve" in refused("promote", CONCEPT)[0]


def test_a_revoked_version_is_not_promoted_whatever_is_overridden(project):
    first = done("promote", CONCEPT, "--version", 1, "--reason", "the first")
    place = open_production(load_settings())
    content = read_ledger(place, CONCEPT).head.content
    revoke(load_settings(), place, CONCEPT, [content], reason="the owner took her consent back")
    (problem,) = refused("promote", CONCEPT, "--version", 1, "--override", "withdrawn", "--reason", "please")
    assert "was revoked on " in problem
    assert problem.endswith("(record 2): the owner took her consent back; no override brings it back")
    (problem,) = refused("rollback", CONCEPT, "--to", 1)
    assert "was revoked by record 2" in problem
    assert first["seq"] == 1


def test_nothing_is_built_on_a_ledger_that_was_changed(project):
    done("promote", CONCEPT, "--version", 1, "--reason", "the first")
    place = open_production(load_settings())
    path = record_path(CONCEPT, 1)
    place.write(path, place.read(path).content.replace(b"the first", b"the worst"))
    (problem,) = refused("promote", CONCEPT, "--override", "git_clean", "--reason", "better")
    assert "000001.json: its bytes have changed since it was sealed" in problem
    assert "its bytes have changed" in refused("rollback", CONCEPT)[0]
    shown = run("releases")
    assert shown.exit_code == 1
    assert "its bytes have changed since it was sealed" in shown.stderr

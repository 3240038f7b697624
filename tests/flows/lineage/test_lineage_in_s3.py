"""Lineage of a project whose store is a bucket: proved there, and told as unchecked where it does not answer."""

import json
import shutil
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

import tasks.store.s3
from flows.cli.app import app
from tasks.files.hashing import file_digest
from tasks.project.settings import load_settings
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.store.s3 import s3_client
from tasks.store.store import open_store
from tasks.verification.chain import verify_version
from tests.lineage_project import CONCEPT, Trained, copy_of
from tests.s3 import RelayServer, relay
from tests.tasks.finished_training import migrated_database


@pytest.fixture
def bucket(lineage_project: Trained, tmp_path, s3_bucket, s3_server, monkeypatch) -> Iterator[RelayServer]:
    """The project's store in a bucket, behind a relay."""
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    for path in (path for path in settings.store.rglob("*") if path.is_file()):
        key = f"store/{path.relative_to(settings.store).as_posix()}"
        put(s3_bucket, key, path.read_bytes(), file_digest(path))
    settings.store.rename(tmp_path / "gone")
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    monkeypatch.chdir(settings.root)
    with relay(s3_server) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", before.url)
        monkeypatch.setenv("CONCEPTBOOTH_STORE", f"s3://{s3_bucket}/store")
        yield before


def put(bucket: str, key: str, content: bytes, sha256: str) -> None:
    """As the store puts contents: with their hash beside them."""
    s3_client().put_object(Bucket=bucket, Key=key, Body=content, Metadata={"sha256": sha256})


def lineage(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lineage", CONCEPT, *map(str, arguments)])


def test_a_bucket_is_proved_and_what_does_not_answer_is_unchecked(lineage_project, bucket, s3_bucket, tmp_path):
    result = lineage("--verify", "--json")
    assert result.exit_code == 0, result.output
    proof = json.loads(result.stdout)["verification"]
    assert (proof["verified"], proof["faults"], proof["unchecked"]) == (True, [], [])

    manifests = lineage_project.last.manifests
    weights = manifests["train-2-cross_attention"].files["concept.safetensors"].sha256
    key = f"store/cas/sha256/{weights[:2]}/{weights}"
    content = s3_client().get_object(Bucket=s3_bucket, Key=key)["Body"].read()
    put(s3_bucket, key, content[:-1] + bytes([content[-1] ^ 1]), weights)
    result = lineage("--verify", "--json")
    (fault,) = json.loads(result.stdout)["verification"]["faults"]
    assert result.exit_code == 1 and fault["what"].endswith(": concept.safetensors") and "bytes" in fault["said"]
    put(s3_bucket, key, content, weights)

    bucket.answer, bucket.concerns = (503, "SlowDown"), "/cas/"  # it goes away once the manifests are read
    result = lineage("--verify", "--json")
    assert result.exit_code == 0, result.output
    proof = json.loads(result.stdout)["verification"]
    missed = {check["what"] for check in proof["unchecked"]}
    assert missed == {f"{m.stage} {m.key[:12]}: {len(m.files)} files" for m in manifests.values()}
    assert not proof["verified"] and proof["whole"]  # the exit code is about faults; nobody may read it as proof
    assert proof["faults"] == [] and all("503" in check["said"] for check in proof["unchecked"])

    bucket.concerns = ""
    result = lineage("--verify", "--json", "--html", tmp_path / "page.html")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert (facts["verification"]["verified"], facts["verification"]["faults"]) == (False, [])
    missed = {check["what"] for check in facts["verification"]["unchecked"]}
    assert {f"{m.stage} {m.key[:12]}" for m in manifests.values()} | {"ledger", "models and images"} <= missed
    assert facts["notes"][0].startswith("promotions and revocations are not known: ")
    assert "Not verified: the chain could not be read" in (tmp_path / "page.html").read_text()
    shown = " ".join(lineage("--verify").stdout.split())
    assert "version 2 @candidate" in shown and "not verified: 9 things could not be checked" in shown
    result = lineage()
    assert result.exit_code == 1 and "503" in result.stderr and result.stdout == ""


def test_a_production_that_does_not_answer_is_no_reason_to_show_nothing(lineage_project, monkeypatch, s3_bucket):
    monkeypatch.chdir(lineage_project.settings.root)
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("CONCEPTBOOTH_PRODUCTION_STORE", f"s3://{s3_bucket}/production")
    result = lineage("--verify", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert [check["what"] for check in facts["verification"]["unchecked"]] == ["ledger"]
    assert facts["notes"][0].startswith("promotions and revocations are not known: ") and facts["evaluation"]


@pytest.fixture
def relayed(s3_server, monkeypatch) -> Iterator[RelayServer]:
    """Amazon's variables lead to S3 through this."""
    with relay(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


def test_a_package_in_a_bucket_is_hashed_as_one_in_a_folder_is(lineage_project, tmp_path, s3_bucket, relayed):
    """Else the gate `lineage: verified` would be shut for everybody whose MLflow keeps its files elsewhere."""
    settings = copy_of(lineage_project.settings, tmp_path / "project")
    (settings.root / "conceptbooth.toml").write_text(f'mlflow_artifact_root = "s3://{s3_bucket}/mlflow"\n')
    settings = load_settings(settings.root)
    shutil.copyfile(migrated_database(), settings.home / "mlflow" / "mlflow.db")
    made = lineage_project.last
    register(settings, made.job.concept, made.manifests)
    found = verify_version(settings, open_store(settings), VersionReference.parse(CONCEPT))
    assert (found.of("fault"), found.of("unchecked")) == ((), ())
    assert any(check.what.endswith(": code/model/weights/concept.py") for check in found.checks)

    listed = s3_client().list_objects_v2(Bucket=s3_bucket, Prefix="mlflow/")["Contents"]
    for ending in ("code/model/weights/concept.py", "artifacts/concept.safetensors"):
        key = next(entry["Key"] for entry in listed if entry["Key"].endswith(ending))
        content = s3_client().get_object(Bucket=s3_bucket, Key=key)["Body"].read()
        s3_client().put_object(Bucket=s3_bucket, Key=key, Body=content[:-1] + bytes([content[-1] ^ 1]))
        faults = verify_version(settings, open_store(settings), VersionReference.parse(CONCEPT)).of("fault")
        s3_client().put_object(Bucket=s3_bucket, Key=key, Body=content)
        assert any(check.what.endswith(ending.removeprefix("artifacts/")) for check in faults), faults
    relayed.answer = (503, "SlowDown")
    found = verify_version(settings, open_store(settings), VersionReference.parse(CONCEPT))
    assert not found.of("fault") and any("package" in check.what for check in found.of("unchecked"))

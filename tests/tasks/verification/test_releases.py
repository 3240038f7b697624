"""What a production store proves with the public key alone: one flipped bit anywhere in it is found and named."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

import mlflow.pyfunc
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import SecretStr

import tasks.promotion.promotion
from model.errors import InputError
from tasks.lineage.chain import read_chain
from tasks.lineage.check_results import Verification
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production
from tasks.production.release import MODEL, SIGNATURE, Release, read_release, release_place, unfit
from tasks.project.settings import Settings
from tasks.promotion.promotion import check_production, put_into_production, roll_back
from tasks.promotion.smoke_test import DoesNotLoad, smoke_test
from tasks.promotion.source import find_source
from tasks.registry.reference import CHAMPION, VersionReference
from tasks.signing.keys import all_key_problems, public_key_of, read_public_key
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tasks.verification.chain import verify
from tasks.verification.releases import check_place
from tests.lineage_project import CONCEPT
from tests.tasks.finished_training import migrated_database
from tests.tasks.keys import write_key


@pytest.fixture(scope="module")
def settings(lineage_project, tmp_path_factory) -> Iterator[Settings]:
    """A production of two promotions and a rollback, all signed."""
    folder = tmp_path_factory.mktemp("production")
    shutil.copyfile(migrated_database(), folder / "production.db")
    settings = lineage_project.settings.model_copy(
        update={
            "production_store": folder / "store",
            "production_tracking_uri": f"sqlite:///{folder}/production.db",
            "signing_key": write_key(folder / "key.pem", b"open sesame"),
            "signing_key_password": SecretStr("open sesame"),
        }
    )
    (folder / "public.pem").write_bytes(public_key_of(settings))
    place = check_production(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))
        for version in (1, 2):
            source = find_source(settings, open_store(settings), VersionReference.parse(f"{CONCEPT}/{version}"))
            ledger = read_ledger(place, CONCEPT)
            put_into_production(settings, place, ledger, source, (), {}, reason="better", approved_by=None)
        roll_back(settings, place, CONCEPT, to=None, reason="ears are missing")
    yield settings
    connect(settings).delete_registered_model_alias(f"concept.{CONCEPT}", CHAMPION)


def checked(settings: Settings, key: bytes | None = None) -> Verification:
    return check_place(open_production(settings), key or public_key_of(settings))


def test_a_whole_store_is_proved_and_nothing_left_unchecked(settings):
    verification = checked(settings)
    assert (verification.of("fault"), verification.of("unchecked")) == ((), ())
    assert verification.words == "verified"
    assert len([check for check in verification.checks if check.what.endswith("signature")]) == 3


def test_another_key_proves_nothing(settings, tmp_path):
    stranger = settings.model_copy(update={"signing_key": write_key(tmp_path / "k"), "signing_key_password": None})
    faults = checked(settings, public_key_of(stranger)).of("fault")
    assert [check.what.endswith("signature") for check in faults] == [True, True, True]
    assert all("does not match" in check.said for check in faults)


KINDS = {
    "releases/**/concept.safetensors": "model/artifacts/concept.safetensors: its bytes have changed",
    "releases/**/model/drawing/sample.py": "model/code/model/drawing/sample.py: its bytes have changed",
    "releases/**/MLmodel": "model/MLmodel: its bytes have changed",
    "releases/**/lineage/train-2-*.json": "lineage/train-2-cross_attention.json: its bytes have changed",
    "releases/**/provenance.json": "provenance.json: its bytes have changed",
    "releases/**/release.json": "release.json: its bytes have changed",
    "releases/**/model.sig": "signature: ",
    "promotions/*/000001.json": "000001.json: ",
    "promotions/*/000003.json": "000003.json: ",
    "signatures/*.sig": "signature: ",
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_is_found_and_named(settings, kind):
    file = sorted(settings.production_store.glob(kind))[0]
    content = file.read_bytes()
    file.chmod(0o644)
    try:
        file.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
        faults = checked(settings).of("fault")
    finally:
        file.write_bytes(content)
    assert any(KINDS[kind] in f"{check.what}: {check.said}" for check in faults), faults


def test_lineage_looks_at_production_too_and_says_what_it_has_no_key_for(settings):
    """Version 1 serves: `lineage owl/1 --verify` reads its release byte for byte."""

    def lineage(settings: Settings) -> Verification:
        store = open_store(settings)
        with open_index(settings, store) as index:
            chain = read_chain(store, index, find_head(settings, store, index, VersionReference.parse(f"{CONCEPT}/1")))
        return verify(settings, store, chain, released=True)

    found = lineage(settings)
    assert (found.of("fault"), found.of("unchecked")) == ((), ())
    assert len([check for check in found.of("good") if check.what.endswith("signature")]) == 2
    keyless = lineage(settings.model_copy(update={"signing_key": None}))
    assert (
        not keyless.of("fault") and [c.what.rpartition(": ")[2] for c in keyless.of("unchecked")] == ["signature"] * 2
    )
    release = release_place(CONCEPT, read_ledger(open_production(settings), CONCEPT).find(1).release)
    for name, said in (("model/artifacts/concept.safetensors", "bytes have changed"), (SIGNATURE, "")):
        file = settings.production_store / release / name
        content = file.read_bytes()
        file.chmod(0o644)
        try:
            file.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
            faults = lineage(settings).of("fault")
        finally:
            file.write_bytes(content)
        assert [said in check.said for check in faults] == [True], faults


def test_a_file_that_was_put_in_is_seen_by_whoever_loads_the_folder(settings):
    """The signature lists every file, and the standard tool knows it: another file in the folder is refused."""
    release = next(settings.production_store.glob("releases/*/*"))
    public = settings.production_store.parent / "public.pem"
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(release)]
    command += ["--signature", str(release / "model.sig"), "--public_key", str(public)]
    command += ["--ignore-paths", str(release / "model.sig")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (release / "model" / "extra.py").write_text("import os")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        (fault,) = checked(settings).of("fault")
    finally:
        (release / "model" / "extra.py").unlink()
    assert done.returncode != 0
    assert "extra.py" in done.stderr + done.stdout
    assert fault.what.endswith(": model/extra.py")


def test_loading_a_release_where_it_lies_makes_no_fault_of_it(settings, monkeypatch):
    """MLflow's client writes a note beside a model that it loads out of a folder; a trial does not let it."""
    release = release_of(settings, 1)
    files = {name: file.sha256 for name, file in release.below(MODEL).items()}
    assert smoke_test(settings, f"concept.{CONCEPT}", 1, files) == (16, 16)
    assert checked(settings).words == "verified"
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):  # without the first it makes a database in the checkout
        monkeypatch.setenv(name, settings.production_tracking_uri)
    mlflow.pyfunc.load_model(f"models:/concept.{CONCEPT}/1")
    note = settings.production_store / release.place / MODEL / "registered_model_meta"
    try:
        assert (checked(settings).of("fault"), checked(settings).of("unchecked")) == ((), ())
        note.write_text(note.read_text().replace(CONCEPT, "another"))
        (fault,) = checked(settings).of("fault")
    finally:
        note.unlink()
    assert fault.what.endswith(": model/registered_model_meta")
    assert "another model than the ledger" in fault.said


def release_of(settings: Settings, seq: int) -> Release:
    place = open_production(settings)
    return read_release(place, CONCEPT, str(read_ledger(place, CONCEPT).find(seq).release))


@pytest.mark.parametrize("where", ["model/__pycache__", "model/code/model/drawing/__pycache__"])
def test_bytecode_beside_signed_code_is_a_fault_and_goes_before_it_serves(settings, where):
    """Python runs it in the place of the code: the trial does not, and a rollback leaves none for others to run."""
    release, told = release_of(settings, 2), []
    folder = settings.production_store / release.place
    strange = folder / where / "sample.cpython-311.pyc"
    strange.parent.mkdir()
    strange.write_bytes(b"code")
    (fault,) = checked(settings).of("fault")
    assert fault.what.endswith(f"{where}/sample.cpython-311.pyc")
    assert "Python would run it" in fault.said
    files = {name: file.sha256 for name, file in release.below(MODEL).items()}
    with pytest.raises(DoesNotLoad, match="nothing of it was run"):
        smoke_test(settings, f"concept.{CONCEPT}", 2, files)
    assert unfit(open_production(settings), release, told.append) == []
    assert not strange.parent.exists() and "removing bytecode" in told[0]
    assert checked(settings).words == "verified"
    (folder / "model" / "extra.py").touch()
    try:
        (problem,) = unfit(open_production(settings), release)
    finally:
        (folder / "model" / "extra.py").unlink()
    assert "model/extra.py: is no part of the release" in problem


def test_code_that_is_not_what_was_released_is_not_run_in_a_trial(settings, tmp_path):
    release, ran = release_of(settings, 1), tmp_path / "ran"
    files = {name: file.sha256 for name, file in release.below(MODEL).items()}
    first = settings.production_store / release.place / MODEL / "concept_model.py"
    content = first.read_bytes()
    first.chmod(0o644)
    try:
        first.write_bytes(f"open({str(ran)!r}, 'w')\n".encode() + content)
        with pytest.raises(DoesNotLoad, match=r"nothing of it was run: 'concept_model.py'"):
            smoke_test(settings, f"concept.{CONCEPT}", 1, files)
    finally:
        first.write_bytes(content)
    assert not ran.exists()


def test_an_unsigned_store_says_what_is_missing(settings, tmp_path):
    shutil.copytree(settings.production_store, tmp_path / "copy")
    for signature in [*tmp_path.glob("copy/releases/*/*/model.sig"), *tmp_path.glob("copy/signatures/*")]:
        signature.unlink()
    faults = check_place(FolderBlobs(tmp_path / "copy"), public_key_of(settings)).of("fault")
    assert [check.said.split(" (")[0] for check in faults] == ["missing"] * 3


def test_records_that_were_cut_off_are_no_longer_what_was_signed(settings, tmp_path):
    shutil.copytree(settings.production_store, tmp_path / "copy")
    (tmp_path / "copy" / "promotions" / CONCEPT / "000003.json").unlink()
    (fault,) = check_place(FolderBlobs(tmp_path / "copy"), public_key_of(settings)).of("fault")
    assert fault.what == f"ledger of {CONCEPT}: signature"
    assert "000003.json" in fault.said


def test_a_place_where_nothing_was_promoted(settings, tmp_path):
    with pytest.raises(InputError, match="holds no ledger"):
        check_place(FolderBlobs(tmp_path), public_key_of(settings))


def test_keys_that_cannot_sign_are_named_before_anything_is_done(settings, tmp_path):
    def problem(**changes: object) -> str:
        (said,) = all_key_problems(settings.model_copy(update=changes))
        return said

    assert "No such file" in problem(signing_key=tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("not a key")
    assert "no private key of an elliptic curve" in problem(signing_key=tmp_path / "text.pem")
    assert "no private key" in problem(signing_key_password=None)
    assert "no private key" in problem(signing_key_password=SecretStr("wrong"))
    other = write_key(tmp_path / "ed.pem", kind=ed25519.Ed25519PrivateKey.generate())
    assert "of another kind" in problem(signing_key=other, signing_key_password=None)
    inside = write_key(settings.root / "key.pem")
    try:
        assert "could be committed" in problem(signing_key=inside, signing_key_password=None)
    finally:
        inside.unlink()
    with pytest.raises(InputError, match=r"text.pem: no public key of an elliptic curve in PEM"):
        read_public_key(tmp_path / "text.pem")
    with pytest.raises(InputError, match="No such file"):
        read_public_key(tmp_path / "none.pem")

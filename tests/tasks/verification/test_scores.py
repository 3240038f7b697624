"""Scores that somebody wrote into the store: what the embeddings, the pictures and the keys say of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.scores.metrics import Embeddings, scores_of
from tasks.files.hashing import file_digest
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.check_results import Verification
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.plan.last_training import CONCEPTS, LastTraining
from tasks.production.ledger import Ledger
from tasks.project.settings import Settings
from tasks.promotion.challengers import challengers, gate
from tasks.promotion.gates import Evidence, promotion_checks
from tasks.promotion.policy import Policy
from tasks.promotion.source import find_source
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import VersionReference
from tasks.registry.store_records import ADDRESS, REGISTRIES
from tasks.registry.version_records import VersionRecord
from tasks.signing.keys import public_key_of, signer_of
from tasks.store.artefacts import EMBEDDINGS, SCORES
from tasks.store.manifest import FileRecord, Manifest
from tasks.store.sealed import unsealed
from tasks.store.store import Store, open_store
from tasks.verification.chain import verify
from tasks.verification.scores import check_pictures, measured_evaluation
from tests.lineage_project import CONCEPT, copy_of
from tests.tasks.keys import write_key

POLICY = Policy.model_validate({"minimum": {"clip_i": 0.9}, "lineage": "without_faults"})


@pytest.fixture
def settings(lineage_project, tmp_path) -> Settings:
    return copy_of(lineage_project.settings, tmp_path / "project")


def chain_of(settings: Settings) -> Chain:
    store = open_store(settings)
    with open_index(settings, store) as index:
        return read_chain(store, index, find_head(settings, store, index, VersionReference.parse(f"{CONCEPT}/2")))


def forged(settings: Settings, folder: Path, *, embeddings: bool) -> Manifest:
    """An evaluation with scores of 0.995, sealed; with `embeddings` that give them."""
    store, evaluation = open_store(settings), chain_of(settings).manifests["evaluate"]
    document = json.loads(store.file(evaluation, SCORES).read_text())
    for score in ("clip_i", "clip_t"):
        for part in (document, *document["prompts"]):
            part[score] = {"mean": 0.995, "low": 0.995, "high": 0.995}
        for prompt in document["prompts"]:
            prompt["pictures"][score] = [0.995] * len(prompt["pictures"][score])
    folder.mkdir()
    (folder / SCORES).write_text(json.dumps(document))
    if embeddings:
        tensors = load_file(store.file(evaluation, EMBEDDINGS))
        towards, across = torch.eye(tensors["clip_text"].shape[-1])[:2]
        leaning = 0.995 * towards + (1 - 0.995**2) ** 0.5 * across
        tensors["clip_generated"] = leaning.expand_as(tensors["clip_generated"]).contiguous()
        for name in ("clip_text", "clip_instance"):
            tensors[name] = towards.expand_as(tensors[name]).contiguous()
        save_file(tensors, folder / EMBEDDINGS)
        given = scores_of(Embeddings(**tensors), list(evaluation.parameters["prompts"])).to_dict()
        (folder / SCORES).write_text(json.dumps({**document, **given}))
    changed = rewritten(store, settings, evaluation, folder)
    gallery = chain_of(settings).manifests["gallery"]
    facts = json.loads(gallery.to_json())
    for entry in facts["inputs"]:
        entry["digest"] = changed.digest() if entry["kind"] == "evaluate" else entry["digest"]
    put(store, gallery, facts)
    return changed


def rewritten(store: Store, settings: Settings, manifest: Manifest, folder: Path) -> Manifest:
    """The same manifest about these files, sealed again, in its place."""
    facts = json.loads(manifest.to_json())
    for path in folder.iterdir():
        record = FileRecord(sha256=file_digest(path), size=path.stat().st_size)
        facts["files"][path.name] = vars(record)
        content = settings.store / "cas" / "sha256" / record.sha256[:2] / record.sha256
        content.parent.mkdir(exist_ok=True)
        content.write_bytes(path.read_bytes())
    return put(store, manifest, facts)


def put(store: Store, manifest: Manifest, facts: dict) -> Manifest:
    """What a manifest says now, sealed again; the signature of before stays."""
    del facts["seal"]
    changed = Manifest.from_json(json.dumps(facts))
    address = Path(store.manifest_address(manifest.stage, manifest.key))
    address.unlink()
    address.write_text(changed.to_json())
    return changed


def failing(settings: Settings, more: tuple = ()) -> dict[str, str]:
    """Gates that fail, with what they say."""
    store, chain = open_store(settings), chain_of(settings)
    source = find_source(settings, store, VersionReference.parse(f"{CONCEPT}/2"))
    evidence = Evidence(
        chain=chain,
        verification=verify(settings, store, chain),
        evaluation=source.evaluation,
        measured=(*source.measured, *more),
        champion=None,
        ledger=Ledger(concept=CONCEPT, records=()),
        approved_by=None,
    )
    return {check.gate: check.said for check in promotion_checks(POLICY, evidence) if not check.passed}


def test_the_embeddings_give_the_scores_on_record(settings):
    store, evaluation = open_store(settings), chain_of(settings).manifests["evaluate"]
    measured = measured_evaluation(store, evaluation)
    assert [(check.state, check.said) for check in measured.checks] == [("good", "are those that its embeddings give")]
    assert {check.state for check in check_pictures(settings, store, chain_of(settings).manifests)} == {"good"}


def test_invented_scores_pass_no_gate_and_do_not_verify(settings, tmp_path):
    forged(settings, tmp_path / "forged", embeddings=False)
    failed = failing(settings)
    assert set(failed) == {"minimum.clip_i", "scores_derived", "lineage"}
    assert "0.995 on record" in failed["scores_derived"] and "0.995" not in failed["minimum.clip_i"]


def test_a_night_takes_what_the_embeddings_give(settings, tmp_path):
    forged(settings, tmp_path / "forged", embeddings=False)
    asked = challengers(settings, registered_versions(settings).values(), POLICY, "candidate")
    verdict = gate(settings, open_store(settings), POLICY, asked)[CONCEPT]
    assert not verdict.passed and "are not those of its embeddings" in verdict.said


def test_invented_embeddings_are_not_those_of_the_pictures(settings, tmp_path):
    forged(settings, tmp_path / "forged", embeddings=True)
    assert failing(settings) == {}  # sealed, not signed: only the pictures tell
    found = tuple(check_pictures(settings, open_store(settings), chain_of(settings).manifests))
    assert {check.what.split()[-1] for check in found if check.state == "fault"} == {
        "clip_generated",
        "clip_instance",
        "clip_text",
    }
    assert set(failing(settings, found)) == {"scores_derived"}


def test_embeddings_of_other_shape_or_length_are_no_evaluation(settings, tmp_path):
    store, evaluation = open_store(settings), chain_of(settings).manifests["evaluate"]
    tensors = load_file(store.file(evaluation, EMBEDDINGS))
    for name, change in (("twice", lambda t: t * 2), ("fewer", lambda t: t[:, :1])):
        folder = tmp_path / name
        folder.mkdir()
        save_file({**tensors, "clip_generated": change(tensors["clip_generated"]).contiguous()}, folder / EMBEDDINGS)
        changed = rewritten(store, settings, evaluation, folder)
        (check,) = measured_evaluation(store, changed).checks
        assert check.state == "fault" and "is none of these pictures and prompts" in check.said


def keyed(settings: Settings, tmp_path: Path) -> Settings:
    """A worker's key and the release key, each trusted with its own, and everything signed by the worker."""
    keys = settings.model_copy(
        update={"training_key": write_key(tmp_path / "worker.pem"), "signing_key": write_key(tmp_path / "desk.pem")}
    )
    store, signer = open_store(settings), signer_of(keys, "trainings")
    for manifest in chain_of(settings).manifests.values():
        address = Path(store.manifest_address(manifest.stage, manifest.key))
        address.unlink()
        address.write_text(manifest.signed_by(signer).to_json())
    records = store.read_records([*store.records(CONCEPTS), *store.records(REGISTRIES)])
    before = None  # each version's record names the seal of the one before it
    for path, record in sorted(records.items()):
        if path.endswith(".jsonl"):
            content = LastTraining.read(record.content).to_json(signer)
        elif path.endswith(ADDRESS):
            continue
        else:
            content = replace(VersionRecord.from_json(record.content), previous=before).to_json(signer)
            before = unsealed(content)[1].digest
        store.write_record(path, content)
    return keys


def found(settings: Settings) -> Verification:
    return verify(settings, open_store(settings), chain_of(settings))


def test_with_keys_nobody_who_can_only_write_invents_an_evaluation(settings, tmp_path):
    keys = keyed(settings, tmp_path)
    proved = found(keys)
    assert (proved.of("fault"), proved.words) == ((), "verified")
    assert sum(check.what.endswith(": signature") for check in proved.of("good")) == 6
    forged(settings, tmp_path / "forged", embeddings=True)
    faults = found(keys).of("fault")
    assert any("evaluate" in check.what and "its signature does not hold" in check.said for check in faults)
    assert "lineage" in failing(keys)
    unsigned = json.loads(chain_of(settings).manifests["evaluate"].to_json())
    del unsigned["seal"], unsigned["signature"]
    address = Path(open_store(settings).manifest_address("evaluate", unsigned["key"]))
    address.write_text(Manifest.from_json(json.dumps(unsigned)).to_json())
    assert any("is not signed" in check.said for check in found(keys).of("fault"))


def test_the_release_key_is_not_trusted_with_trainings(settings, tmp_path):
    keys = keyed(settings, tmp_path)
    (settings.root / "worker.pub").write_bytes(public_key_of(keys, "trainings"))
    (settings.root / "desk.pub").write_bytes(public_key_of(keys, "releases"))
    settings.trusted_keys.write_text(
        "desk: {public_key: desk.pub, trusted_with: [releases]}\n"
        "worker: {public_key: worker.pub, trusted_with: [trainings]}\n"
    )
    assert any("worker (" in check.said for check in found(settings).of("good"))
    store, evaluation = open_store(settings), chain_of(settings).manifests["evaluate"]
    address = Path(store.manifest_address("evaluate", evaluation.key))
    address.unlink()
    address.write_text(evaluation.signed_by(signer_of(keys, "releases")).to_json())
    assert any("is not trusted with trainings" in check.said for check in found(settings).of("fault"))


def test_without_keys_it_is_sealed_and_not_signed(settings):
    proof = found(settings)
    assert proof.words == "verified (sealed, not signed)" and proof.to_json()["signed"] is False

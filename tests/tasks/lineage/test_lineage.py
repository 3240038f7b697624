"""Lineage: the chain from the evaluation to the images, where it begins, and proof down to the last byte."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.tree import lineage_tree
from model.errors import InputError
from tasks.dvc.storage import dvc_storage
from tasks.files.hashing import file_digest
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.check_results import Verification
from tasks.lineage.document import document
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import Promotion, append, examine_ledger, record_path
from tasks.production.registry import open_production
from tasks.project.settings import Settings
from tasks.registry.reference import VersionReference
from tasks.registry.training_facts import content_key
from tasks.registry.versions import resolve
from tasks.store.manifest import Manifest
from tasks.store.store import open_store
from tasks.verification.chain import verify, verify_version
from tests.lineage_project import CONCEPT, Trained
from tests.made_stages import MadeStages

STAGES = ("prepare", "train-1-embedding", "train-2-cross_attention", "train-3-unet", "evaluate", "gallery")


def chain_of(settings: Settings, reference: str = CONCEPT) -> Chain:
    store = open_store(settings)
    with open_index(settings, store) as index:
        return read_chain(store, index, find_head(settings, store, index, VersionReference.parse(reference)))


def verified(settings: Settings, reference: str = CONCEPT) -> Verification:
    return verify_version(settings, open_store(settings), VersionReference.parse(reference))


@contextmanager
def flipped(path: Path, position: int | None = None) -> Iterator[None]:
    """One bit of a file is another one inside."""
    content, mode = path.read_bytes(), path.stat().st_mode
    at = len(content) // 2 if position is None else position
    path.chmod(0o644)
    try:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        yield
    finally:
        path.write_bytes(content)
        path.chmod(mode)


@contextmanager
def moved_away(*paths: Path) -> Iterator[None]:
    """Inside, these are not there."""
    try:
        for path in paths:
            path.rename(path.with_name(f"{path.name}.away"))
        yield
    finally:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.away").rename(path)


@contextmanager
def promoted(settings: Settings, made: MadeStages) -> Iterator[Path]:
    """Inside, the ledger says that this training serves; its record."""
    record = Promotion(
        concept=CONCEPT,
        seq=1,
        action="promote",
        version=1,
        content=content_key(made.manifests),
        release="f" * 64,
        model="prod.concept.owl",
        production_version=1,
        stages={stage: manifest.key for stage, manifest in made.manifests.items()},
        gates=({"gate": "scores", "passed": True, "said": "CLIP-I 0.9"},),
        overridden={"git_clean": "nothing that matters"},
        by="tester",
        at="2026-01-01T00:00:00+00:00",
        previous=None,
    )
    place = open_production(settings)
    assert append(place, record)
    path = record_path(CONCEPT, 1)
    try:
        yield settings.store / path
    finally:
        place.delete(path)


def test_the_chain_leads_from_the_version_to_the_files_that_were_brought(lineage_project):
    chain = chain_of(lineage_project.settings)
    assert tuple(link.stage for link in chain.links) == STAGES and chain.problems == ()
    assert chain.manifests == lineage_project.last.manifests
    assert (chain.head.version, chain.head.aliases, chain.head.found_by) == (2, ("candidate",), "registry")
    assert chain.head.content == lineage_project.version.key
    brought = {image["original"]: image["original_sha256"] for image in chain.images}
    assert brought == {path.name: file_digest(path) for path in lineage_project.originals}
    facts = document(chain, ())
    assert json.loads(json.dumps(facts)) == facts
    assert [stage["stage"] for stage in facts["stages"]] == list(STAGES[3:0:-1])
    stated = {(image["licence"], image["source"], image["consent"]) for image in facts["images"]}
    assert stated == {("CC-BY-4.0", "own photographs", "the owner")}
    assert facts["base"]["files"]["unet/config.json"] == file_digest(
        lineage_project.settings.root / "base/unet/config.json"
    )
    assert facts["image_set"]["digest"] == lineage_project.last.job.images.digest
    assert facts["evaluation"]["scores"]["clip_i"].keys() == {"mean", "low", "high"}


def test_a_small_loss_is_not_told_as_none(lineage_project):
    facts = json.loads(json.dumps(document(chain_of(lineage_project.settings), ())))
    facts["stages"][0]["metrics"] = {"attention_loss": 0.00002979, "loss": 0.19}
    said = [str(part) for branch in lineage_tree(facts).children for part in branch.label.renderables]
    assert "attention_loss 2.979e-05, loss 0.19" in said


def test_a_whole_chain_is_verified_with_nothing_left_unchecked(lineage_project):
    found = verified(lineage_project.settings)
    assert (found.of("fault"), found.of("unchecked"), found.words) == ((), (), "verified (sealed, not signed)")
    looked_at = {check.what for check in found.checks}
    assert {f"image {number:02}.png in DVC's cache" for number in range(3)} <= looked_at
    assert {f"image {number:02}.png in the working copy" for number in range(3)} <= looked_at


def files_of(lineage_project: Trained, kind: str) -> dict[Path, str]:
    """Every file of a kind, with a word that a fault has to contain."""
    settings, made = lineage_project.settings, lineage_project.last
    manifests = made.manifests
    images = made.job.images
    match kind:
        case "manifests":
            paths = {
                stage: settings.store / "stages" / stage / m.key / "manifest.json" for stage, m in manifests.items()
            }
            return {path: stage for stage, path in paths.items()}
        case "artefacts":
            records = [(name, r.sha256) for m in manifests.values() for name, r in m.files.items()]
            return {settings.store / "cas" / "sha256" / sha[:2] / sha: name for name, sha in records}
        case "base" | "evaluator" | "identity_model":
            folder = settings.root / kind.removesuffix("_model")
            paths = [path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")]
            return {path: f"{kind} {folder.name}: {path.relative_to(folder).as_posix()}" for path in paths}
        case "working copy":
            return {made.job.concept.images / file.relpath: file.relpath for file in images.files}
        case "DVC's cache":
            cached = {dvc_storage(settings).cached(file.md5): file.relpath for file in images.files}
            return cached | {dvc_storage(settings).cached(images.digest): "image set"}
        case _:
            package = resolve(settings, VersionReference.parse(CONCEPT)).folder.parent
            paths = [path for path in package.rglob("*") if path.is_file()]
            named = {path: path.relative_to(package).as_posix() for path in paths}
            assert {"MLmodel", "artifacts/concept.safetensors", "code/model/weights/concept.py"} <= set(named.values())
            return {path: name for path, name in named.items() if path.suffix != ".py"}


@pytest.mark.parametrize(
    "kind",
    [
        "manifests",
        "artefacts",
        "base",
        "evaluator",
        "identity_model",
        "working copy",
        "DVC's cache",
        "registered package",
    ],
)
def test_one_flipped_bit_in_any_file_is_found_and_named(lineage_project, kind):
    files = files_of(lineage_project, kind)
    assert files
    for path, named in files.items():
        with flipped(path):
            faults = verified(lineage_project.settings).of("fault")
        assert any(named in f"{fault.what}: {fault.said}" for fault in faults), (path, faults)


def test_a_description_that_changed_is_found_though_it_is_in_no_key(lineage_project):
    manifest = lineage_project.last.manifests["train-3-unet"]
    path = lineage_project.settings.store / "stages" / manifest.stage / manifest.key / "manifest.json"
    with flipped(path, path.read_text().index("own photographs")):
        (fault,) = verified(lineage_project.settings).of("fault")
    assert fault.said.startswith("train-3-unet") and "changed since it was sealed" in fault.said


def test_what_others_put_into_a_package_is_named(lineage_project):
    """MLflow's note is known by its form; all else that is not listed would be loaded, bytecode before the code."""
    settings = lineage_project.settings
    package = resolve(settings, VersionReference.parse(CONCEPT)).folder.parent
    note, bytecode, stranger = package / "registered_model_meta", package / "code" / "__pycache__", package / "extra.py"
    try:
        note.write_text("model_name: concept.owl\nmodel_version: '2'\n")
        bytecode.mkdir()
        (bytecode / "extra.pyc").touch()
        stranger.touch()
        found = verified(settings)
        note.write_text(note.read_text() + "model_uuid: another\n")
        faults = {fault.what.partition(": ")[2] for fault in verified(settings).of("fault")}
    finally:
        shutil.rmtree(bytecode)
        note.unlink()
        stranger.unlink()
    assert [check.what.partition(": ")[2] for check in found.of("fault")] == ["code/__pycache__/extra.pyc", "extra.py"]
    assert faults == {"code/__pycache__/extra.pyc", "extra.py", "registered_model_meta"}
    with moved_away(package / "sha256.json"):
        (missed,) = verified(settings).of("fault")
    assert missed.said == "it has no list of them (sha256.json)"


def test_the_list_of_a_package_is_exact_though_it_would_still_be_read(lineage_project):
    """White space changes no meaning; it is a changed byte all the same."""
    listing = resolve(lineage_project.settings, VersionReference.parse(CONCEPT)).folder.parent / "sha256.json"
    content = listing.read_bytes()
    try:
        listing.write_bytes(content.replace(b"\n ", b"  ", 1))
        registered, written = verified(lineage_project.settings).of("fault")
    finally:
        listing.write_bytes(content)
    assert registered.what == written.what and written.what.endswith(": sha256.json")


@contextmanager
def forged(settings: Settings, manifest: Manifest, **changes: Any) -> Iterator[None]:
    """Inside, the manifest says something else, and is sealed over that."""
    path = settings.store / "stages" / manifest.stage / manifest.key / "manifest.json"
    content = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_text(dataclasses.replace(manifest, **changes).to_json())
        yield
    finally:
        path.write_bytes(content)


def test_a_forged_manifest_is_found_though_it_is_sealed_anew(lineage_project):
    """Files that are there, but another stage's: the link tells. Another rate: the key tells."""
    settings, manifests = lineage_project.settings, lineage_project.last.manifests
    stage = manifests["train-1-embedding"]
    with forged(settings, stage, files=manifests["train-2-cross_attention"].files):
        faults = {fault.what for fault in verified(settings).of("fault")}
    assert {
        f"{m.stage} {m.key[:12]} <- {stage.stage}" for m in manifests.values() if m.stage in STAGES[2:5:2]
    } <= faults
    parameters = {**stage.parameters, "stage": {**stage.parameters["stage"], "learning_rate": 0.5}}
    with forged(settings, stage, parameters=parameters):
        (fault,) = verified(settings).of("fault")
    assert fault.what == f"{stage.stage} {stage.key[:12]}: key"


def test_the_store_alone_is_enough(lineage_project):
    """Registry, Prefect, the store's records and the index are gone."""
    settings = lineage_project.settings
    database = settings.home / "mlflow" / "mlflow.db"
    indices = list(settings.home.glob("lineage-*.db"))
    with moved_away(database, *indices):
        recorded = chain_of(settings)
        assert (recorded.head.found_by, recorded.head.version) == ("record", 2)
        with moved_away(settings.store / "concepts", settings.store / "registries"):
            chain = chain_of(settings)
            found = verify(settings, open_store(settings), chain)
            with pytest.raises(InputError, match="only the registry knows aliases"):
                chain_of(settings, f"{CONCEPT}@champion")
            with pytest.raises(InputError, match="only the registry knows versions"):
                chain_of(settings, f"{CONCEPT}/1")
    assert chain.head.found_by == "manifests" and chain.manifests == lineage_project.last.manifests
    assert not found.of("fault") and [check.what for check in found.of("unchecked")] == ["registry"]


def test_what_is_not_here_is_unchecked_and_never_passed_over(lineage_project):
    settings, images = lineage_project.settings, lineage_project.last.job.images
    cached = [dvc_storage(settings).cached(file.md5) for file in images.files]
    with moved_away(settings.root / "base", lineage_project.last.job.concept.images, *cached):
        found = verified(settings)
    assert not found.of("fault")
    assert {check.what for check in found.of("unchecked")} == {
        "base base",
        *(f"image {f.relpath}" for f in images.files),
    }
    assert found.words == "verified, except 4 things that could not be checked (sealed, not signed)"


def test_a_promotion_is_part_of_the_lineage_and_a_changed_ledger_is_found(lineage_project):
    settings, made = lineage_project.settings, lineage_project.first
    with promoted(settings, made) as record:
        found = verified(settings, f"{CONCEPT}/1")
        assert not found.of("fault") and {"ledger", "ledger record 1"} <= {check.what for check in found.of("good")}
        chain, (ledger, _) = chain_of(settings, f"{CONCEPT}/1"), examine_ledger(open_production(settings), CONCEPT)
        (entry,) = document(chain, ledger.records)["promotions"]
        assert (entry["seq"], entry["by"]) == (1, "tester")
        assert document(chain_of(settings), ledger.records)["promotions"] == []
        with flipped(record, record.read_text().index("tester")):
            (fault,) = verified(settings, f"{CONCEPT}/1").of("fault")
        assert fault.what == "ledger" and "changed since it was sealed" in fault.said


def test_the_remote_s_copies_are_hashed_too(lineage_project, tmp_path):
    """A folder as DVC's default remote; one of its files is damaged, then it is not there."""
    settings, images = lineage_project.settings, lineage_project.last.job.images
    remote, config = tmp_path / "remote", settings.root / ".dvc" / "config.local"
    shutil.copytree(dvc_storage(settings).cache / "files", remote / "files")
    config.write_text(f"[core]\n    remote = there\n['remote \"there\"']\n    url = {remote}\n")
    try:
        assert "image 01.png in the DVC remote" in {check.what for check in verified(settings).of("good")}
        md5 = images.files[1].md5
        with flipped(remote / "files" / "md5" / md5[:2] / md5[2:]):
            (fault,) = verified(settings).of("fault")
        assert fault.what == "image 01.png in the DVC remote"
        shutil.rmtree(remote)
        (missed,) = verified(settings).of("unchecked")
        assert missed.what == "image set in the DVC remote"
    finally:
        config.unlink()


def test_a_missing_stage_is_named_and_the_rest_still_shown(lineage_project):
    settings = lineage_project.settings
    chain_of(settings)  # the index knows what the missing one had read
    manifest = lineage_project.last.manifests["train-3-unet"]
    with moved_away(settings.store / "stages" / "evaluate" / lineage_project.last.manifests["evaluate"].key):
        chain = chain_of(settings)
        assert [link.stage for link in chain.links if link.problem] == ["evaluate"]
    assert manifest.key  # the chain before it is still whole
    assert "missing" in chain.problems[0]


def test_a_set_that_has_moved_on_is_checked_by_its_copies_in_the_cache(lineage_project):
    images = lineage_project.last.job.concept.images
    record = images.with_name("images.dvc")
    with flipped(images / "00.png"), flipped(record, record.read_text().index("md5: ") + 5):
        found = verified(lineage_project.settings)
    assert not found.of("fault")
    assert "image 00.png in DVC's cache" in {check.what for check in found.of("good")}


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (f"{CONCEPT}/7", "has no version 7; versions: 1, 2; aliases: @candidate"),
        (f"{CONCEPT}@champion", "has no alias 'champion'; versions: 1, 2"),
        ("owk", "did you mean 'owl'"),
        ("owl@a/b", "write NAME, NAME@alias or NAME/version"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(lineage_project, reference, said):
    with pytest.raises(InputError, match=said):
        chain_of(lineage_project.settings, reference)

"""Committed after it was trained on: attested where the commit holds the very same, and never where it does not."""

import json
import subprocess
from pathlib import Path

import pytest

from tasks.concepts.image_edits import ImageChange, change_images
from tasks.dvc.command import run_dvc
from tasks.lineage.attest import attest
from tasks.lineage.attestations import KIND, attestations_of, chain_of, check_attestations, uncommitted
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, load_settings
from tasks.promotion.gates import _git_clean
from tasks.store.manifest import Manifest
from tasks.store.sealed import sealed
from tasks.store.store import open_store
from tests.data_project import commit, git, photo
from tests.lineage_project import CONCEPT, copy_of
from tests.tasks.keys import write_key
from tests.training_project import write_params


@pytest.fixture
def copy(lineage_project, tmp_path: Path) -> Settings:
    """Version 2 was trained by a params.yaml that is not committed."""
    return copy_of(lineage_project.settings, tmp_path / "copy")


@pytest.fixture
def manifests(lineage_project) -> dict[str, Manifest]:
    return lineage_project.last.manifests


def gate(settings: Settings, manifests: dict[str, Manifest]) -> tuple[bool, str]:
    check = _git_clean(manifests, attestations_of(settings, open_store(settings), CONCEPT, manifests))
    return check.passed, check.said


def attested(settings: Settings) -> list[str]:
    return [stage for record in attest(settings, open_store(settings), [CONCEPT]) for stage in record.stages]


def test_the_same_files_committed_later_are_attested_once(copy: Settings, manifests) -> None:
    passed, said = gate(copy, manifests)
    assert not passed
    assert "train-3-unet was made from files that differ from commit" in said
    assert "the next `conceptbooth train` or `promote` attests it" in said
    assert attested(copy) == [], "params.yaml differs from the commit"

    newest = commit(copy.root)
    dirty = [stage for stage, manifest in manifests.items() if uncommitted(manifest)]
    assert sorted(attested(copy)) == sorted(dirty)
    assert attested(copy) == [], "it is on record"
    passed, said = gate(copy, manifests)
    assert passed
    assert said.startswith(f"commit {newest[:12]} holds what it was made from (attestation 1 of ")
    (each,) = attestations_of(copy, open_store(copy), CONCEPT, manifests)
    assert {"params.yaml", f"data/concepts/{CONCEPT}/concept.yaml"} <= each.record.files.keys()
    assert each.record.files["params.yaml"] == git(copy.root, "rev-parse", "HEAD:params.yaml").strip()
    assert each.record.image_set == manifests["prepare"].inputs[0].key
    assert {check.state for check in check_attestations(copy, open_store(copy), CONCEPT, manifests)} == {"good"}


def test_another_content_is_never_attested(copy: Settings, manifests) -> None:
    write_params(copy.root, unet={"learning_rate": 0.04})
    commit(copy.root)
    assert attested(copy) == [], "the commit's rate is another one"
    assert not gate(copy, manifests)[0]


def test_an_older_commit_that_holds_the_files_attests_them_once_it_is_checked_out(
    copy: Settings, manifests, tmp_path: Path
) -> None:
    older = commit(copy.root)
    photo(99, 64, 64).save(another := tmp_path / "another.png")
    change_images(copy, CONCEPT, ImageChange(add=[another]), BaseLimits(min_pixels=32))
    commit(copy.root)
    assert attested(copy) == [], "the project has gone on"
    assert "`git checkout` that one and `dvc checkout`, then promote from there" in gate(copy, manifests)[1]
    git(copy.root, "checkout", "--quiet", older)
    assert attested(copy) == [], "its images are not here yet"
    run_dvc(copy, "checkout")
    assert attested(copy)
    assert gate(copy, manifests)[0]


def test_what_git_is_told_to_overlook_is_no_proof(copy: Settings, manifests) -> None:
    wanted = (copy.root / "params.yaml").read_text()
    write_params(copy.root, unet={"learning_rate": 0.04})
    commit(copy.root)
    git(copy.root, "update-index", "--assume-unchanged", "params.yaml")
    (copy.root / "params.yaml").write_text(wanted)
    assert git(copy.root, "status", "--porcelain") == ""
    assert attested(copy) == []
    git(copy.root, "update-index", "--no-assume-unchanged", "params.yaml")
    git(copy.root, "update-index", "--skip-worktree", "params.yaml")
    assert attested(copy) == []


def test_files_that_git_does_not_know_are_no_proof(copy: Settings, manifests) -> None:
    """`git status` of tracked files alone calls this clean."""
    git(copy.root, "rm", "--quiet", "--cached", f"data/concepts/{CONCEPT}/concept.yaml")
    git(copy.root, "add", "params.yaml")
    git(copy.root, "commit", "--quiet", "--message", "without its description")
    assert attested(copy) == []


def test_images_that_are_not_committed_are_not_attested(copy: Settings, manifests) -> None:
    commit(copy.root)
    (copy.concepts_dir / CONCEPT / "images" / "00.png").unlink()
    assert attested(copy) == []


def test_what_was_said_of_the_images_must_be_committed_too(copy: Settings, manifests) -> None:
    """No key knows the consent; the manifests say what it was, and the gates believe them."""
    file = copy.concepts_dir / CONCEPT / "concept.yaml"
    file.write_text(file.read_text().replace("the owner", "nobody"))
    commit(copy.root)
    assert attested(copy) == []


def test_a_record_that_nobody_signed_counts_for_nothing_where_keys_are_set(
    copy: Settings, manifests, tmp_path: Path
) -> None:
    commit(copy.root)
    store = open_store(copy)
    assert attested(copy)
    key = write_key(tmp_path / "worker.pem")
    (copy.root / "conceptbooth.toml").write_text(
        (copy.root / "conceptbooth.toml").read_text() + f'training_key = "{key}"\n'
    )
    commit(copy.root)
    signing = load_settings(copy.root)
    passed, said = gate(signing, manifests)
    assert not passed
    assert "attestation 1 is not signed" in said
    assert attested(signing), "one that is signed is written beside it"
    assert gate(signing, manifests)[0]
    checks = {check.what: check.state for check in check_attestations(signing, store, CONCEPT, manifests)}
    assert checks == {"attestation 1": "fault", "attestation 2": "good"}


def test_records_that_were_changed_count_for_nothing(copy: Settings, manifests) -> None:
    commit(copy.root)
    assert attested(copy)
    store = open_store(copy)
    path = f"{chain_of(CONCEPT)}000001.json"
    said = json.loads(store.read_records([path])[path].content)
    content = {name: value for name, value in said.items() if name != "seal"}
    store.write_record(path, json.dumps(said | {"commit": "c" * 40}, sort_keys=True, indent=2).encode())
    assert not gate(copy, manifests)[0], "its seal is another content's"
    for change in ({"concept": "mouse"}, {"number": 2}):
        store.write_record(path, sealed(KIND, content | change))
        assert not gate(copy, manifests)[0], change
        assert [check.state for check in check_attestations(copy, store, CONCEPT, manifests)] == ["fault"]
    other = {stage: facts | {"digest": "0" * 64} for stage, facts in content["stages"].items()}
    store.write_record(path, sealed(KIND, content | {"stages": other}))
    assert not gate(copy, manifests)[0], "it speaks of other artefacts"


def test_outside_git_nothing_is_attested(copy: Settings, manifests) -> None:
    subprocess.run(["rm", "-rf", str(copy.root / ".git")], check=True)
    assert attested(copy) == []

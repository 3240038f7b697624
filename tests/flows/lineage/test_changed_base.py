"""What was trained on a base whose folder holds another one by now: it draws, leaves, serves and verifies as before."""

import base64
import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from tasks.files.hashing import DigestMemory, digest_of
from tasks.jobs.jobs import plan_jobs
from tasks.jobs.models import identify_model
from tasks.project.settings import Settings, apply_environment
from tasks.registry.reference import VersionReference
from tasks.registry.versions import resolve
from tasks.store.models import keep_model, kept_model
from tasks.store.store import open_store
from tasks.upkeep.gc import clear_store
from tasks.upkeep.needs import Forgotten, find_needs, jobs_of_all
from tasks.verification.chain import verify_version
from tests.lineage_project import CONCEPT, Trained, copy_of
from tests.model.tiny import write_tiny_base

WEIGHTS = "diffusion_pytorch_model.safetensors"
PROMPT = "a photo of a {} in the snow"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def done(*arguments: object) -> str:
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    return found.stdout


def drawn(folder: Path) -> np.ndarray:
    told = json.loads(done("generate", f"{CONCEPT}/2", PROMPT, "-n", 1, "--seed", 7, "-o", folder, "--json"))
    return np.asarray(Image.open(told["pictures"][0]["file"]))


@pytest.fixture(scope="module")
def site(lineage_project: Trained, tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Settings:
    """A copy of a project in which everything was trained before the store kept bases; a night has been since."""
    settings = copy_of(lineage_project.settings, tmp_path_factory.mktemp("changed") / "site")
    apply_environment(settings)
    assert not {"base", "evaluator"} & {stage for stage, _ in open_store(settings).artefacts()}
    with contextlib.chdir(settings.root):
        assert "cached" in done("train", CONCEPT, "--json")
    return settings


@pytest.fixture
def settings(site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of that, to be changed."""
    settings = copy_of(site, tmp_path / "site")
    apply_environment(settings)
    monkeypatch.chdir(settings.root)
    return settings


def test_a_version_outlives_the_base_in_its_folder(settings: Settings, tmp_path: Path):
    store = open_store(settings)
    (job,) = plan_jobs(settings, [CONCEPT])
    for kind, model in job.recipe.models.items():
        manifest = kept_model(store, kind, model.digest)
        assert manifest and {name: record.sha256 for name, record in manifest.files.items()} == model.files
    before = drawn(tmp_path / "before")
    done("export", f"{CONCEPT}/2", "--as", "diffusers", "-o", tmp_path / "exported-before")

    shutil.rmtree(settings.root / "base")
    write_tiny_base(settings.root / "base", seed=1)
    shutil.rmtree(settings.root / "evaluator")
    assert np.array_equal(drawn(tmp_path / "after"), before)
    done("export", f"{CONCEPT}/2", "--as", "diffusers", "-o", tmp_path / "exported-after")
    unets = [(tmp_path / f"exported-{when}" / "unet" / WEIGHTS).read_bytes() for when in ("before", "after")]
    assert unets[0] == unets[1]
    verification = verify_version(settings, store, VersionReference.parse(f"{CONCEPT}/2"))
    assert verification.to_json()["verified"]
    said = {check.what: check.said for check in verification.checks}
    assert said["base base: unet/diffusion_pytorch_model.safetensors"] == "is as the store keeps it"

    kept = kept_model(store, "base", job.recipe.base.digest)
    assert kept is not None
    content = Path(store.content_address(kept.files[f"unet/{WEIGHTS}"].sha256))
    content.chmod(0o644)
    content.write_bytes(content.read_bytes()[:-1] + b"\0")
    refused = run("generate", f"{CONCEPT}/2", PROMPT, "-n", 1, "-o", tmp_path / "damaged")
    assert refused.exit_code != 0 and "its bytes have changed" in refused.stderr
    assert run("lineage", f"{CONCEPT}/2", "--verify").exit_code == 1


def test_it_is_promoted_and_serves_from_a_store(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    production = str(tmp_path / "production")
    package = resolve(settings, VersionReference.parse(f"{CONCEPT}/2")).folder.parent
    facts = json.loads((package / "artifacts" / "concept.json").read_text())
    files = facts["base"]["files"]
    assert kept_model(open_store(settings), "base", digest_of(files))
    ask = [{"prompt": PROMPT, "seed": 7}]
    before = mlflow.pyfunc.load_model(str(package)).predict(ask)["image"][0]
    folder = Path(facts["base"]["folder"])
    away = folder.with_name("base.away")
    folder.rename(away)
    try:
        with pytest.raises(Exception, match="no such folder"):
            mlflow.pyfunc.load_model(str(package))  # the store of the training never kept it
        # what is promoted brings the base along: production's store has it, and a fresh process draws from that
        monkeypatch.setenv("CONCEPTBOOTH_PRODUCTION_STORE", production)
        done("promote", f"{CONCEPT}/2", "--reason", "launch")
        after = mlflow.pyfunc.load_model(str(package)).predict(ask)["image"][0]
    finally:
        away.rename(folder)
    assert base64.b64decode(after) == base64.b64decode(before)


def test_clearing_up_keeps_what_a_version_stands_on_and_lets_the_rest_go(settings: Settings):
    store = open_store(settings)
    (job,) = plan_jobs(settings, [CONCEPT])
    stood_on = job.recipe.base.digest
    write_tiny_base(settings.root / "other", seed=2)
    model = identify_model(settings, DigestMemory(settings.home / "others.json"), "other", None, "base model")
    keep_model(store, "base", Path(model.location), model.files, reference="other")
    shutil.rmtree(settings.root / "base")
    write_tiny_base(settings.root / "base", seed=1)  # what would be trained now stands on a third one
    asked = find_needs(settings, store, jobs_of_all(settings), Forgotten())
    _, verdict = clear_store(store, replace(asked.needs, keep_seconds=0.0))
    gone = {(artefact.stage, artefact.key) for artefact in verdict.artefacts}
    assert ("base", model.digest) in gone and ("base", model.digest) not in store.artefacts()
    assert ("base", stood_on) not in gone and kept_model(store, "base", stood_on)

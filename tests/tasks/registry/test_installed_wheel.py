"""An installation from a wheel, without a checkout: it makes a project, registers, draws, promotes and rolls back."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.data_project import REPOSITORY

FILES = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "NOTICE",
    "constraints.txt",
    "prefect.yaml",
    ".dvcignore",
)
FOLDERS = ("flows", "tasks", "model", "toyworld", "mlflow", "data/prompts", ".dvc")
UNNEEDED = ("__pycache__", "base-128", "second", "cache", "tmp", "*.egg-info")

REGISTER_AND_DRAW = """
import shutil, sys
from pathlib import Path
import torch
import tasks.registry.package, tasks.promotion.smoke_test
assert all(module.__file__.startswith(sys.argv[1]) for module in (tasks.registry.package, tasks.promotion.smoke_test))
from model.bases.base import load_base
from model.bases.prompt import ConceptPrompt
from model.weights.concept import ConceptWeights
from tasks.promotion.smoke_test import smoke_test
from tasks.registry.package_listing import LISTING, read_listing
from tasks.files.hashing import file_digest
from tasks.registry.reference import VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import resolve
from tests.model.tiny import write_tiny_base
from tests.tasks.finished_training import concept, project, training

settings = project(Path(sys.argv[2]))
settings = settings.model_copy(update={"production_tracking_uri": settings.mlflow_tracking_uri})
shutil.rmtree(settings.root / "base")
write_tiny_base(settings.root / "base")
width = load_base(str(settings.root / "base")).text_encoders[0].width
weights = ConceptWeights.of(ConceptPrompt("<turtle>", "turtle"), [torch.ones(1, width)], {})
weights.save(settings.root / "concept.safetensors")
manifests = training(settings, weights=(settings.root / "concept.safetensors").read_bytes())
assert register(settings, concept(settings), manifests).version == 1
package = resolve(settings, VersionReference.parse("turtle")).folder.parent
files = read_listing(package) | {LISTING: file_digest(package / LISTING)}
print(*smoke_test(settings, "concept.turtle", 1, files))
"""

PROMOTE_AND_ROLL_BACK = """
import os, sys
from pathlib import Path
import flows.cli.app
assert flows.cli.app.__file__.startswith(sys.argv[1])
from tasks.production.ledger import read_ledger
from tasks.production.registry import open_production
from tests.old_site_project import CONCEPT, unpack_old_site
from typer.testing import CliRunner

settings = unpack_old_site(Path(sys.argv[2]))
os.chdir(settings.root)
os.environ["CONCEPTBOOTH_BASE"] = str(settings.root / "base")
scores = [f"not_worse_than_champion.{score}" for score in ("clip_i", "clip_t")]
overrides = [word for gate in ("withdrawn", *scores) for word in ("--override", gate)]
for command in (["promote", f"{CONCEPT}/2", "--reason", "again", *overrides], ["rollback", CONCEPT, "--reason", "no"]):
    done = CliRunner().invoke(flows.cli.app.app, command)
    assert done.exit_code == 0, done.output
records = read_ledger(open_production(settings), CONCEPT).records
print(*(record.action for record in records[-2:]), *(record.version for record in records[-2:]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The packages of a wheel, built from a copy of the sources and installed into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source, wheels, target = (folder / name for name in ("source", "wheels", "installed"))
    source.mkdir()
    for name in (*FILES, "data/concepts/.gitignore"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, source / name)
    for room in FOLDERS:
        shutil.copytree(REPOSITORY / room, source / room, ignore=shutil.ignore_patterns(*UNNEEDED))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-q"]
    offline = ["--no-deps", "--no-index"]
    built = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(wheels), str(source)]
    there = set(source.rglob("*"))
    subprocess.run(built, check=True, cwd=folder, env=_environment())
    assert set(source.rglob("*")) == there, "a build leaves nothing in the checkout"
    (wheel,) = wheels.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith("mlflow/")]
    install = [*pip, "install", *offline, "--no-compile", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, env=_environment())
    shutil.rmtree(source)
    return target


def test_a_wheel_makes_a_project_in_which_nothing_is_missing(installed, tmp_path):
    def call(folder: Path, *arguments: str) -> str:
        program = "import flows.cli.app as a, sys; assert a.__file__.startswith(sys.argv.pop(1)); a.main()"
        command = [sys.executable, "-P", "-c", program, str(installed), *arguments]
        environment = _environment(PYTHONPATH=str(installed))
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        return done.stdout

    call(tmp_path, "init", "try", "--base", "toyworld")
    project = tmp_path / "try"
    found = json.loads(call(project, "doctor", "--json"))["findings"]
    assert not [each for each in found if each["state"] == "problem"]
    told = {each["what"]: each["found"] for each in found}
    assert told["concept rose-backpack"].startswith("5 images") and "constraints.txt" in told["packages"]


def test_a_wheel_registers_a_version_draws_with_it_promotes_and_rolls_back(installed, tmp_path):
    shutil.copytree(REPOSITORY / "tests", tmp_path / "helpers" / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join([str(installed), str(tmp_path / "helpers")])

    def ran(program: str, folder: str) -> list[str]:
        command = [sys.executable, "-P", "-c", program, str(installed), str(tmp_path / folder)]
        done = subprocess.run(
            command, cwd=tmp_path, env=_environment(PYTHONPATH=path), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.split()

    assert all(int(side) > 0 for side in ran(REGISTER_AND_DRAW, "project")[-2:])
    assert ran(PROMOTE_AND_ROLL_BACK, "site") == ["promote", "rollback", "2", "1"]


def _environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more

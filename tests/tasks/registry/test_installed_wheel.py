"""An installation from a wheel, without a checkout: it registers a version, draws with it, promotes and rolls back."""

import os
import shutil
import subprocess
import sys
import zipfile

from tests.data_project import REPOSITORY

PROJECT = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
ROOMS = ("flows", "tasks", "model", "toyworld", "mlflow")

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


def test_a_wheel_registers_a_version_draws_with_it_promotes_and_rolls_back(tmp_path):
    source, wheels, installed = (tmp_path / name for name in ("source", "wheels", "installed"))
    source.mkdir()  # a build leaves folders beside its sources
    for name in PROJECT:
        shutil.copyfile(REPOSITORY / name, source / name)
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.png")
        shutil.copytree(REPOSITORY / room, source / room, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-q"]
    offline = ["--no-deps", "--no-index"]
    built = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(built, check=True, cwd=tmp_path, env=_environment())
    (wheel,) = wheels.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith("mlflow/")]
    subprocess.run(
        [*pip, "install", *offline, "--no-compile", "--target", str(installed), str(wheel)],
        check=True,
        env=_environment(),
    )
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

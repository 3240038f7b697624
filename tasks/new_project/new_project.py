"""A project in a new folder, as a whole or not at all: files, a git repository with one commit, DVC set up."""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import InputError, WorkFailed
from tasks.new_project.bases import MODELS, BaseChoice, choose_base
from tasks.new_project.shipped import embedded_world, shipped
from tasks.project.params import load_params
from tasks.project.settings import PARAMS_FILE

SAMPLE = "rose-backpack"
"""The sample that a project on the embedded base begins with."""
POLICY = "mlflow/promotion.yaml"
FILES = (".dvc/config", ".dvc/.gitignore", ".dvcignore", "constraints.txt", "prefect.yaml", "data/concepts/.gitignore")
"""Copied as they are in a checkout, beside the prompt sets."""
_IGNORED = ".conceptbooth/\n/.venv\n/pictures/\n/.env\n"


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """A project that was made."""

    folder: Path
    choice: BaseChoice


def make_project(folder: Path, base: str) -> NewProject:
    """Make a project for this base in a folder that is not there yet, or empty. Asks nobody on the network.

    Raises:
        InputError: the folder holds something, no such base, git is not installed; nothing was written.
        WorkFailed: the disk or git failed; nothing is left.
    """
    folder = folder.expanduser().resolve()
    _check_place(folder)
    choice = choose_base(base, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
            made = Path(parent, "project")
            made.mkdir()
            _write(made, folder.name, choice)
            commit_all(made, "A project of ConceptBooth", begin=True)
            made.rename(folder)  # onto nothing, or onto an empty folder
    except OSError as error:
        raise WorkFailed(f"{folder}: the project could not be written ({error.strerror or error})") from error
    return NewProject(folder=folder, choice=choice)


def commit_all(root: Path, message: str, *, begin: bool = False) -> None:
    """Commit what git does not ignore, by who git knows here, or else by this program. Raises WorkFailed."""
    known = all(_git(root, "config", name, check=False) for name in ("user.name", "user.email"))
    by = [] if known else ["-c", "user.name=conceptbooth", "-c", "user.email=conceptbooth@localhost"]
    if begin:
        _git(root, "init", "--quiet")
    _git(root, "add", "--all")
    _git(root, *by, "commit", "--quiet", "--message", message)


def _check_place(folder: Path) -> None:
    if shutil.which("git") is None:
        raise InputError("git is not installed: a project is a git repository, install git first")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; name a folder that is not there yet, or an empty one")
    for above in folder.parents:
        if (above / PARAMS_FILE).is_file():
            raise InputError(
                f"{folder}: lies in the project {above}; name a folder outside it, such as ../{folder.name}"
            )


def _write(root: Path, name: str, choice: BaseChoice) -> None:
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped(file), root / file)
    shutil.copytree(shipped("data/prompts"), root / "data/prompts")
    _copy_models(root, choice)
    demo = None if choice.photographs else SAMPLE
    facts = {"choice": choice, "name": name, "demo": demo, "models": MODELS}
    for file in (PARAMS_FILE, "README.md"):
        (root / file).write_text(_filled(f"{file}.j2", facts), encoding="utf-8")
    (root / ".gitignore").write_text(_IGNORED, encoding="utf-8")
    (root / POLICY).parent.mkdir()
    (root / POLICY).write_text(fitted_policy(shipped(POLICY).read_text(encoding="utf-8"), choice), encoding="utf-8")
    load_params(root / PARAMS_FILE)


def fitted_policy(text: str, choice: BaseChoice) -> str:
    """A promotion policy with the minimums that fit a base's evaluator; what else it asks for stays."""
    for score, least in choice.minimum.items():
        text, found = re.subn(rf"(?m)^  {score}: .*$", f"  {score}: {least:g}", text)
        assert found == 1, score
    if choice.photographs:
        words = (
            "# A score below its minimum fails. The values are for photographs and CLIP ViT-B/32, with which\n"
            "# published methods lie near clip_i 0.69 and clip_t 0.25.\n"
        )
        text = re.sub(r"(?m)^# A score below its minimum fails\.(?:.*\n)+?(?=minimum:)", words, text)
    return text


def _copy_models(root: Path, choice: BaseChoice) -> None:
    """The embedded models go into git with the project, as in a checkout: no remote could give them to a clone."""
    copied = [model.reference for model in choice.models if model.reference.startswith(f"{MODELS}/")]
    for place in copied:
        shutil.copytree(embedded_world() / place.removeprefix(f"{MODELS}/"), root / place)
    if copied:
        for file in ("LICENSE", "NOTICE"):
            shutil.copyfile(shipped(file), root / MODELS / file)


def _filled(template: str, facts: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks.new_project"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = _quoted
    return environment.get_template(template).render(facts)


def _quoted(text: str) -> str:
    """A text as YAML takes it, in quotes where a path needs them."""
    return text if re.fullmatch(r"[\w./-]*[\w/]", text, re.ASCII) else "'" + text.replace("'", "''") + "'"


def _git(root: Path, *arguments: str, check: bool = True) -> str:
    # Without the variables by which a git hook says which repository it is about.
    elsewhere = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
    clean = {name: value for name, value in os.environ.items() if name not in elsewhere}
    done = subprocess.run(["git", *arguments], cwd=root, env=clean, capture_output=True, text=True)
    if check and done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise WorkFailed(f"`git {arguments[0]}` failed: {said}")
    return done.stdout.strip()

"""What the work needs and whether it is there: one diagnosis a thing, without torch, MLflow, Prefect and DVC."""

import importlib.metadata
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from flows.doctor.diagnosis import Diagnosis, Probe, diagnosed_at_once, diagnosed_by
from flows.doctor.models import model_findings
from flows.doctor.services import service_probes
from flows.output.image_notes import OF_MANY
from model.errors import InputError
from tasks.concepts.concepts import concept_names, load_concept
from tasks.concepts.image_notes import ImageNotes
from tasks.concepts.image_sets import ImagesMissing, git_state, image_set
from tasks.files.hashing import DigestMemory
from tasks.jobs.code_digest import PROJECT
from tasks.pictures.kinds import named_as_picture
from tasks.project.git import GitState, git_problem, git_status
from tasks.project.settings import Settings
from tasks.project.settings_files import DOTENV_FILE, unread_variables

DISTRIBUTION = "conceptbooth"
STATES = {
    "committed": "in git's newest commit",
    "uncommitted": "on record with DVC, not yet committed to git",
    "changed": "changed since DVC recorded them",
    "untracked": "unknown to DVC",
}


def diagnose(settings: Settings, seconds: float) -> Iterator[Diagnosis]:
    """Findings in the order in which a person would ask, each that is there within so many seconds."""
    looks: dict[str, Probe] = {
        "project": lambda: [Diagnosis(what="project", state="ok", found=str(settings.root))],
        "code": lambda: _code(settings.root),
        DOTENV_FILE: lambda: _dotenv(settings.root),
        "packages": lambda: [_packages(settings.root / "constraints.txt")],
        "git": lambda: [_git(settings)],
        "models": lambda: model_findings(settings),
        **service_probes(settings),
        "concepts": lambda: _concepts(settings),
    }
    yield from diagnosed_at_once(looks, seconds)


def _code(root: Path, running: Path = PROJECT) -> list[Diagnosis]:
    """Whether the code that runs is the project's own, where that is a checkout of conceptbooth itself."""
    if not (root / "tasks" / "jobs" / "code_digest.py").is_file() or running.resolve() == root.resolve():
        return []
    return [
        Diagnosis(
            what="code",
            state="note",
            found=f"runs from {running}, and the project has code of its own: what is changed there has no say",
            way_out=f"`pip install -e {root}` in this environment, or use that of the project",
        )
    ]


def _dotenv(root: Path) -> list[Diagnosis]:
    unread = unread_variables(root)
    if not unread:
        return []
    return [
        Diagnosis(
            what=DOTENV_FILE,
            state="note",
            found=f"not handed on to the libraries: {', '.join(unread)}",
            way_out="set them in the environment",
        )
    ]


def _packages(constraints: Path) -> Diagnosis:
    """What is installed, against what this project needs and against the set that was run together."""
    needed = [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or []]
    missing = [r.name for r in needed if _version(r.name) is None and (r.marker is None or r.marker.evaluate())]
    if missing:
        raise InputError(f"not installed: {', '.join(missing)}; run `make setup`")
    if not constraints.is_file():
        return Diagnosis(
            what="packages", state="note", found=f"{constraints.name} is missing: versions cannot be compared"
        )
    pinned = [Requirement(line) for line in constraints.read_text(encoding="utf-8").splitlines() if "==" in line]
    found = {pin: _version(pin.name) for pin in pinned}
    odd = [f"{p.name} {v}, not {p.specifier}" for p, v in found.items() if v and not p.specifier.contains(v, True)]
    if odd:
        return Diagnosis(
            what="packages",
            state="note",
            found=f"other versions than were run together: {'; '.join(odd)}",
            way_out="some combinations fail in silence; `make setup` installs the right ones",
        )
    return Diagnosis(what="packages", state="ok", found=f"{len(pinned)} at the versions of {constraints.name}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(settings: Settings) -> Diagnosis:
    if problem := git_problem(settings.root):
        found, way_out = problem
        return Diagnosis(what="git", state="problem", found=found, way_out=way_out)
    commit = git_status(settings.root, "--untracked-files=no").commit
    if commit is None:
        return Diagnosis(
            what="git",
            state="problem",
            found=f"{settings.root} is in a git repository without a commit",
            way_out="image sets are recorded in one: `git add --all && git commit --message first`",
        )
    return Diagnosis(what="git", state="ok", found=f"at commit {commit[:7]}")


def _concepts(settings: Settings) -> Iterator[Diagnosis]:
    names = concept_names(settings)
    if not names:
        yield Diagnosis(
            what="concepts",
            state="note",
            found="none",
            way_out="conceptbooth add NAME IMAGES... --category CATEGORY",
        )
        return
    git, memory = git_state(settings), DigestMemory(settings.home / "image-digests.json", "md5")
    notes = ImageNotes(settings)
    for name in names:
        yield from diagnosed_by(f"concept {name}", partial(_concept, settings, name, git, memory, notes))
    memory.save()
    notes.save()


def _concept(
    settings: Settings, name: str, git: GitState, memory: DigestMemory, notes: ImageNotes
) -> Iterator[Diagnosis]:
    concept, what = load_concept(settings, name), f"concept {name}"
    try:
        images = image_set(settings, concept, git, memory)
    except ImagesMissing as error:  # a sample that was not made yet, or a set that was not pulled
        yield Diagnosis(what=what, state="note", found=str(error), alike="whose images are not here")
        return
    others = [file.relpath for file in images.files if not named_as_picture(file.relpath)]
    alike = STATES[images.state]
    said = f"{len(images.files) - len(others)} images, data version {images.digest[:8]}, {alike}"
    if others:
        said += f"; beside them {len(others)} files that nothing is learnt from, such as {others[0]}"
    yield Diagnosis(what=what, state="note" if images.dirty else "ok", found=said, alike=alike)
    for note in notes.of(concept, images):
        said = note.said.removeprefix(f"concept '{name}': ")
        yield Diagnosis(what=f"images of {name}", state="note", found=said, alike=OF_MANY[note.kind])

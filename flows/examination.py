"""What the work needs and whether it is there: one finding a thing, without torch, MLflow, Prefect and DVC."""

import importlib.metadata
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from model.base_files import base_resolution, check_base_folder
from model.device import numeric_policy
from model.errors import InputError, WorkFailed
from tasks.concepts import concept_names, load_concept
from tasks.hashing import DigestMemory
from tasks.image_sets import ImagesMissing, git_state, image_set
from tasks.keys import ModelIdentity, identify_model
from tasks.params import Params, load_params
from tasks.prompt_sets import load_prompt_set
from tasks.settings import Settings
from tasks.store import open_store
from tasks.tracking import SERVER_SCHEMES, address_problem, scheme_of, shown, sqlite_file

DISTRIBUTION = "conceptbooth"
ANSWER_SECONDS = 5
LOW_DISK_BYTES = 2 * 2**30
STATES = {
    "committed": "in git's newest commit",
    "uncommitted": "on record with DVC, not yet committed to git",
    "changed": "changed since DVC recorded them",
    "untracked": "unknown to DVC",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found about one thing that the work needs."""

    what: str
    state: Literal["ok", "note", "missing"]
    """`missing` stops the work; `note` does not, and still wants to be known."""
    found: str
    way_out: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings in the order in which a person would ask."""
    yield Finding(what="project", state="ok", found=str(settings.root))
    yield from _found("packages", lambda: _packages(settings.root / "constraints.txt"))
    yield _git(settings)
    try:
        params = load_params(settings.params_file)
    except InputError as error:
        yield from _problems("params.yaml", error)
    else:
        said = f"method {params.method}, preset {params.preset}, seed {params.seed}"
        yield Finding(what="params.yaml", state="ok", found=said)
        memory = DigestMemory(settings.home / "digests.json")
        yield from _found("base model", lambda: _base(settings, params, memory))
        yield from _found("evaluator", lambda: _evaluator(settings, params, memory))
        yield from _found("prompt set", lambda: _prompt_set(settings, params))
        yield from _found("device", lambda: _device(settings, params))
    yield from _found("store", lambda: _store(settings))
    yield from _found("MLflow", lambda: _mlflow(settings))
    yield from _found("Prefect", lambda: _prefect(settings))
    yield from _concepts(settings)


def _found(what: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """What `look` finds, or its problems as findings."""
    try:
        yield look()
    except (InputError, WorkFailed) as error:
        yield from _problems(what, error)


def _problems(what: str, error: InputError | WorkFailed) -> Iterator[Finding]:
    for problem in error.problems if isinstance(error, InputError) else [str(error)]:
        yield Finding(what=what, state="missing", found=problem)


def _packages(constraints: Path) -> Finding:
    """What is installed, against what this project needs and against the set that was run together."""
    needed = [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or []]
    missing = [r.name for r in needed if _version(r.name) is None and (r.marker is None or r.marker.evaluate())]
    if missing:
        raise InputError(f"not installed: {', '.join(missing)}; run `make setup`")
    if not constraints.is_file():
        return Finding(
            what="packages", state="note", found=f"{constraints.name} is missing: versions cannot be compared"
        )
    pinned = [Requirement(line) for line in constraints.read_text(encoding="utf-8").splitlines() if "==" in line]
    found = {pin: _version(pin.name) for pin in pinned}
    odd = [f"{p.name} {v}, not {p.specifier}" for p, v in found.items() if v and not p.specifier.contains(v, True)]
    if odd:
        return Finding(
            what="packages",
            state="note",
            found=f"other versions than were run together: {'; '.join(odd)}",
            way_out="some combinations fail in silence; `make setup` installs the right ones",
        )
    return Finding(what="packages", state="ok", found=f"{len(pinned)} at the versions of {constraints.name}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(settings: Settings) -> Finding:
    if shutil.which("git") is None:
        return Finding(what="git", state="missing", found="not installed", way_out="DVC needs it: install git")
    inside = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=settings.root, capture_output=True, text=True)
    if inside.returncode:
        return Finding(
            what="git",
            state="missing",
            found=f"{settings.root} is in no git repository with a commit",
            way_out="image sets are recorded in one: `git init`, `git add`, `git commit`",
        )
    return Finding(what="git", state="ok", found=f"at commit {inside.stdout.strip()}")


def _base(settings: Settings, params: Params, memory: DigestMemory) -> Finding:
    identity = identify_model(settings, memory, params.base, params.base_revision, "base model")
    memory.save()
    if identity.revision is None:
        check_base_folder(Path(identity.location))
        pixels = base_resolution(Path(identity.location))
        return Finding(what="base model", state="ok", found=f"{_described(identity)}, {pixels} pixels")
    return Finding(what="base model", state="ok", found=_described(identity))


def _evaluator(settings: Settings, params: Params, memory: DigestMemory) -> Finding:
    identity = identify_model(settings, memory, params.evaluator, params.evaluator_revision, "evaluator")
    memory.save()
    return Finding(what="evaluator", state="ok", found=_described(identity))


def _described(identity: ModelIdentity) -> str:
    if identity.revision is not None:
        return f"{identity.reference} at {identity.revision[:12]}, fetched from the hub when it is needed"
    size = sum(path.stat().st_size for path in Path(identity.location).rglob("*") if path.is_file())
    return f"{identity.reference}, digest {identity.identity['digest'][:12]}, {size / 2**20:.0f} MB"


def _prompt_set(settings: Settings, params: Params) -> Finding:
    prompts = load_prompt_set(settings.root / params.evaluation.prompts)
    found = f"{params.evaluation.prompts}, {len(prompts)} prompts, {params.evaluation.images_per_prompt} pictures each"
    return Finding(what="prompt set", state="ok", found=found)


def _device(settings: Settings, params: Params) -> Finding:
    policy = numeric_policy(settings.device, params.dtype)
    arithmetic = "float32" if policy["autocast"] == "none" else f"{policy['autocast']} autocast, float32 weights"
    return Finding(what="device", state="ok", found=f"{policy['device']}, {arithmetic}")


def _store(settings: Settings) -> Finding:
    open_store(settings).probe()
    found = f"{settings.store}: writes, reads and creates exclusively"
    if not isinstance(settings.store, Path):
        return Finding(what="store", state="ok", found=found)
    free = shutil.disk_usage(settings.store).free
    found += f"; {free / 2**30:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return Finding(what="store", state="note", found=found, way_out="a training on a large base needs more room")
    return Finding(what="store", state="ok", found=found)


def _mlflow(settings: Settings) -> Finding:
    if problem := address_problem(settings):
        raise InputError(problem)
    uri, name = settings.mlflow_tracking_uri, shown(settings)
    scheme = scheme_of(uri)
    if scheme in SERVER_SCHEMES:
        return _server("MLflow", name, f"{uri.rstrip('/')}/health", "start it, or set MLFLOW_TRACKING_URI")
    if scheme != "sqlite":
        return Finding(what="MLflow", state="note", found=f"database {name}: not asked")
    file = sqlite_file(uri)
    if not file.is_file():
        return Finding(what="MLflow", state="ok", found=f"{file}: made by the first training")
    try:
        with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS) as database:
            (models,) = database.execute("SELECT count(*) FROM registered_models").fetchone()
            (versions,) = database.execute("SELECT count(*) FROM model_versions").fetchone()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{file}: {error}; move it away, and trainings in the store are registered again") from error
    return Finding(what="MLflow", state="ok", found=f"{file}: {models} registered models, {versions} versions")


def _prefect(settings: Settings) -> Finding:
    if settings.prefect_api_url:
        url = settings.prefect_api_url.rstrip("/")
        return _server("Prefect", url, f"{url}/health", "start it, or unset PREFECT_API_URL to work without a server")
    return Finding(what="Prefect", state="ok", found=f"no server needed; its database is in {settings.prefect_home}")


def _server(what: str, name: str, health: str, way_out: str) -> Finding:
    try:
        with urllib.request.urlopen(health, timeout=ANSWER_SECONDS):
            return Finding(what=what, state="ok", found=f"{name} answers")
    except urllib.error.HTTPError as error:
        return Finding(what=what, state="missing", found=f"{name} answers {error.code} {error.reason}", way_out=way_out)
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Finding(what=what, state="missing", found=f"{name} does not answer: {reason}", way_out=way_out)


def _concepts(settings: Settings) -> Iterator[Finding]:
    names = concept_names(settings)
    if not names:
        yield Finding(
            what="concepts",
            state="note",
            found="none",
            way_out="conceptbooth add NAME IMAGES... --category CATEGORY",
        )
        return
    git = git_state(settings)
    for name in names:

        def look(name: str = name) -> Finding:
            concept = load_concept(settings, name)
            try:
                images = image_set(settings, concept, git)
            except ImagesMissing as error:  # a sample that was not made yet, or a set that was not pulled
                return Finding(what=f"concept {name}", state="note", found=str(error))
            found = f"{len(images.files)} images, data version {images.digest[:8]}, {STATES[images.state]}"
            return Finding(what=f"concept {name}", state="note" if images.dirty else "ok", found=found)

        yield from _found(f"concept {name}", look)

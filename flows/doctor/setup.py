"""What the work needs and whether it is there: one diagnosis a thing, without torch, MLflow, Prefect and DVC."""

import importlib.metadata
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from flows.doctor.diagnosis import Diagnosis, diagnosed_at_once, diagnosed_by, problems
from flows.doctor.services import service_probes
from flows.output.image_notes import OF_MANY
from model.bases.base_files import base_resolution
from model.bases.distillation import distilled
from model.bases.prompt import prompt_hints
from model.errors import InputError
from model.runtime.device import numeric_policy
from tasks.concepts.concepts import concept_names, load_concept
from tasks.concepts.image_notes import ImageNotes
from tasks.concepts.image_sets import ImagesMissing, git_state, image_set
from tasks.files.hashing import DigestMemory
from tasks.jobs.models import ModelIdentity, identify_model
from tasks.pictures.kinds import named_as_picture
from tasks.project.base_limits import base_folder, check_short_side
from tasks.project.git import GitState, git_problem, git_status
from tasks.project.params import Params, load_params
from tasks.project.prompt_sets import load_prompt_set
from tasks.project.settings import Settings
from tasks.project.settings_files import DOTENV_FILE, unread_variables

DISTRIBUTION = "conceptbooth"
PLACES_SECONDS = 30.0
"""Within these the places have to answer, all at once; importing the clients of two servers takes some of them."""
STATES = {
    "committed": "in git's newest commit",
    "uncommitted": "on record with DVC, not yet committed to git",
    "changed": "changed since DVC recorded them",
    "untracked": "unknown to DVC",
}


def diagnose(settings: Settings) -> Iterator[Diagnosis]:
    """Findings in the order in which a person would ask."""
    yield Diagnosis(what="project", state="ok", found=str(settings.root))
    yield from diagnosed_by(DOTENV_FILE, lambda: _dotenv(settings.root))
    yield from diagnosed_by("packages", lambda: [_packages(settings.root / "constraints.txt")])
    yield _git(settings)
    try:
        params = load_params(settings.params_file)
    except InputError as error:
        yield from problems("params.yaml", error)
        for what in ("base model", "evaluator", "prompt set", "device"):
            yield Diagnosis(what=what, state="note", found="not looked at: params.yaml has to be mended first")
    else:
        said = f"method {params.method}, preset {params.preset}, seed {params.seed}"
        yield Diagnosis(what="params.yaml", state="ok", found=said)
        memory = DigestMemory(settings.home / "digests.json")
        yield from diagnosed_by("base model", lambda: [_base(settings, params, memory)])
        measuring = {"evaluator": (params.evaluator, params.evaluator_revision)}
        if params.identity_model is not None:
            measuring["identity model"] = (params.identity_model, params.identity_model_revision)
        for what, named in measuring.items():
            yield from diagnosed_by(what, partial(_measuring, settings, memory, what, *named))
        yield from diagnosed_by("prompt set", lambda: [_prompt_set(settings, params)])
        yield from diagnosed_by("device", lambda: [_device(settings, params)])
    yield from diagnosed_at_once(service_probes(settings), PLACES_SECONDS)
    yield from _concepts(settings)


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


def _base(settings: Settings, params: Params, memory: DigestMemory) -> Diagnosis:
    folder = base_folder(settings, params)
    identity = identify_model(settings, memory, params.base, params.base_revision, "base model")
    memory.save()
    if folder is None:
        return Diagnosis(what="base model", state="ok", found=_described(identity))
    pixels = base_resolution(folder)
    check_short_side(settings, params, pixels)
    if shown := distilled(folder):
        return Diagnosis(
            what="base model",
            state="note",
            found=f"{_described(identity)}, {pixels} pixels; {shown}",
            way_out="a base that was distilled to draw in a few steps loses that by training, and draws too strongly "
            f"in {params.sampling.num_inference_steps} steps at guidance {params.sampling.guidance_scale:g}; name the "
            "one that it was distilled from",
        )
    return Diagnosis(what="base model", state="ok", found=f"{_described(identity)}, {pixels} pixels")


def _measuring(
    settings: Settings, memory: DigestMemory, what: str, reference: str, revision: str | None
) -> list[Diagnosis]:
    identity = identify_model(settings, memory, reference, revision, what)
    memory.save()
    return [Diagnosis(what=what, state="ok", found=_described(identity))]


def _described(identity: ModelIdentity) -> str:
    if identity.revision is not None:
        return f"{identity.reference} at {identity.revision[:12]}, fetched from the hub when it is needed"
    size = sum(path.stat().st_size for path in Path(identity.location).rglob("*") if path.is_file())
    return f"{identity.reference}, digest {identity.identity['digest'][:12]}, {size / 2**20:.0f} MB"


def _prompt_set(settings: Settings, params: Params) -> Diagnosis:
    prompts = load_prompt_set(settings.root / params.evaluation.prompts).prompts
    found = f"{params.evaluation.prompts}, {len(prompts)} prompts, {params.evaluation.images_per_prompt} pictures each"
    if hints := [hint for prompt in prompts for hint in prompt_hints(prompt.text)]:
        return Diagnosis(what="prompt set", state="note", found=found, way_out="; ".join(hints[:3]))
    return Diagnosis(what="prompt set", state="ok", found=found)


def _device(settings: Settings, params: Params) -> Diagnosis:
    policy = numeric_policy(settings.device, params.dtype)
    arithmetic = "float32" if policy["autocast"] == "none" else f"{policy['autocast']} autocast, float32 weights"
    return Diagnosis(what="device", state="ok", found=f"{policy['device']}, {arithmetic}")


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

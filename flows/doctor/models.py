"""What params.yaml names: base, evaluator, identity model, prompts, device; and whether they go together."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from flows.doctor.diagnosis import Diagnosis, diagnosed_by, problems
from flows.doctor.mixes import mixes
from model.bases.base_files import HUB_ID, NEWEST, base_resolution
from model.bases.distillation import distilled
from model.bases.prompt import prompt_hints
from model.errors import InputError
from model.runtime.device import numeric_policy
from tasks.files.hashing import DigestMemory
from tasks.jobs.hub import ask_hub, lies_here
from tasks.jobs.models import ModelIdentity, identify_model
from tasks.project.base_limits import base_folder, check_short_side
from tasks.project.params import Params, load_params
from tasks.project.pins import pin
from tasks.project.prompt_sets import load_prompt_set
from tasks.project.settings import Settings

MODELS = {"base": "base model", "evaluator": "evaluator", "identity_model": "identity model"}
"""The pretrained models that params.yaml names, as findings call them."""
_OTHER = "name another commit, such as that of its conversion, or another model"


def model_findings(settings: Settings) -> Iterator[Diagnosis]:
    """Each of them looked at, once params.yaml can be read."""
    try:
        params = load_params(settings.params_file)
    except InputError as error:
        yield from problems("params.yaml", error)
        for what in ("base model", "evaluator", "prompt set", "device"):
            yield Diagnosis(what=what, state="note", found="not looked at: params.yaml has to be mended first")
        return
    said = f"method {params.method}, preset {params.preset}, seed {params.seed}"
    yield Diagnosis(what="params.yaml", state="ok", found=said)
    pinned = list(_pinned(settings, params))
    yield from pinned
    unpinned = {diagnosis.what for diagnosis in pinned if diagnosis.state == "problem"}
    params = load_params(settings.params_file)
    memory = DigestMemory(settings.home / "digests.json")
    if "base model" not in unpinned:
        yield from diagnosed_by("base model", lambda: [_base(settings, params, memory)])
    for name in ("evaluator", "identity_model"):
        reference, what = getattr(params, name), MODELS[name]
        if reference is not None and what not in unpinned:
            named = reference, getattr(params, f"{name}_revision")
            yield from diagnosed_by(what, partial(_measuring, settings, memory, what, *named))
    yield from diagnosed_by("prompt set", lambda: [_prompt_set(settings, params)])
    yield from diagnosed_by("device", lambda: [_device(settings, params)])
    yield from mixes(settings, params)


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
        return f"{identity.reference} at {identity.revision[:12]}, {_proved(identity.reference, identity.revision)}"
    size = sum(path.stat().st_size for path in Path(identity.location).rglob("*") if path.is_file())
    return f"{identity.reference}, digest {identity.identity['digest'][:12]}, {size / 2**20:.0f} MB"


def _proved(reference: str, revision: str) -> str:
    """Where a hub model is to be had. Raises InputError where it is nowhere."""
    if lies_here(reference, revision):
        return "in this machine's cache of the hub"
    if not ask_hub(reference, revision).loads:
        raise InputError(f"{reference} at {revision[:12]}: no safetensors in it, and pickle is never read; {_OTHER}")
    return "the hub has it, and gives it when it is needed"


def _pinned(settings: Settings, params: Params) -> Iterator[Diagnosis]:
    """Write the newest commit of each hub model whose revision in params.yaml asks for it."""
    for name, what in MODELS.items():
        reference, revision = getattr(params, name), getattr(params, f"{name}_revision")
        if reference is None or revision != NEWEST or not HUB_ID.fullmatch(reference):
            continue
        try:
            found = ask_hub(reference, None)
            if not found.loads:
                raise InputError(
                    f"{reference}: no safetensors in its newest commit, and pickle is never read; {_OTHER}"
                )
            pin(settings.params_file, name, found.commit)
        except InputError as error:
            yield from problems(what, error)
        else:
            said = f"{reference} is pinned to its newest commit, {found.commit}, in {settings.params_file.name}"
            yield Diagnosis(what=what, state="note", found=said, way_out="commit that change to git")


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

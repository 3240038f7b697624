"""What cannot be meant together: a base for photographs with what measures and judges the toy world, or the reverse."""

from collections.abc import Iterator

from flows.doctor.diagnosis import Diagnosis
from model.bases.domain import base_domain
from model.errors import InputError
from tasks.new_project.bases import KNOWN, TOYWORLD
from tasks.new_project.shipped import shipped
from tasks.project.params import Params
from tasks.project.prompt_sets import load_prompt_set
from tasks.project.settings import Settings
from tasks.promotion.score_verdict import project_policy

PROMPTS = "data/prompts"
_WAY_OUT = "`conceptbooth init DIR --base BASE` writes a project in which all of it fits"


def mixes(settings: Settings, params: Params) -> Iterator[Diagnosis]:
    """A problem that names each part of another world than the base's; nothing where the base cannot be read."""
    try:
        of_toyworld = _is_toy(settings, params.base, params.base_revision)
        parts = [] if of_toyworld is None else list(_of_another_world(settings, params, of_toyworld))
    except InputError:  # told where it is looked at
        return
    if parts:
        world = "the toy world's" if of_toyworld else "for photographs"
        said = f"base model {params.base} is {world}, but {'; '.join(parts)}"
        yield Diagnosis(what="mix", state="problem", found=said, way_out=_WAY_OUT)


def _is_toy(settings: Settings, reference: str, revision: str | None) -> bool | None:
    """Whether a model is of the toy world; None where nothing is there to tell by."""
    folder = settings.root / reference
    if folder.is_dir():
        return base_domain(folder) is not None
    return False if revision else None  # of the hub


def _of_another_world(settings: Settings, params: Params, of_toyworld: bool) -> Iterator[str]:
    whose = {True: "the toy world's", False: "one for photographs"}
    measuring = {
        "evaluator": (params.evaluator, params.evaluator_revision),
        "identity model": (params.identity_model, params.identity_model_revision),
    }
    for what, (reference, revision) in measuring.items():
        other = _is_toy(settings, reference, revision) if reference else None
        if other is not None and other != of_toyworld:
            yield f"{what} {reference} is {whose[other]}"
    prompts = params.evaluation.prompts
    asked = {prompt.text for prompt in load_prompt_set(settings.root / prompts).prompts}
    toy = asked <= _toy_prompts()
    if toy and not of_toyworld:
        yield f"prompt set {prompts} asks for what the toy world has"
    if (params.preset == TOYWORLD) != of_toyworld:
        yield f"preset {params.preset} was made for {'the toy world' if params.preset == TOYWORLD else 'photographs'}"
    policy = project_policy(settings)
    if policy and not of_toyworld and policy.minimum == KNOWN[TOYWORLD].minimum:
        yield "the minimums of mlflow/promotion.yaml are those of the toy world and its own evaluator"


def _toy_prompts() -> set[str]:
    sets = sorted(shipped(PROMPTS).glob("toyworld*.yaml"))
    return {prompt.text for file in sets for prompt in load_prompt_set(file).prompts}

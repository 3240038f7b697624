"""What cannot be meant together: a base for photographs with what measures and judges the toy world, or the reverse."""

from collections.abc import Iterator

from flows.doctor.diagnosis import Diagnosis
from model.bases.base_files import HUB_ID
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
    """One problem for each part that is of another world than the base; nothing where the base cannot be read."""
    try:
        of_toyworld = _is_toy(settings, params.base)
        parts = list(_of_another_world(settings, params, of_toyworld))
    except InputError:  # told where it is looked at
        return
    if of_toyworld is None:
        return
    world = "the toy world's" if of_toyworld else "for photographs"
    for part in parts:
        yield Diagnosis(
            what="mix", state="problem", found=f"base model {params.base} is {world}, and {part}", way_out=_WAY_OUT
        )


def _is_toy(settings: Settings, reference: str) -> bool | None:
    """Whether a model is of the toy world; None where nothing is there to tell by."""
    folder = settings.root / reference
    if folder.is_dir():
        return base_domain(folder) is not None
    return False if HUB_ID.fullmatch(reference) else None


def _of_another_world(settings: Settings, params: Params, of_toyworld: bool | None) -> Iterator[str]:
    whose = {True: "the toy world's", False: "one for photographs"}
    for what, reference in (("evaluator", params.evaluator), ("identity model", params.identity_model)):
        other = _is_toy(settings, reference) if reference else None
        if other is not None and other != of_toyworld:
            yield f"{what} {reference} is {whose[other]}"
    prompts = params.evaluation.prompts
    asked = {prompt.text for prompt in load_prompt_set(settings.root / prompts)}
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
    return {prompt.text for file in sets for prompt in load_prompt_set(file)}

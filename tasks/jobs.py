"""What is to be done for a concept: everything that its training is made from, checked, with the keys of its stages."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from model.base_files import base_resolution, check_base_folder
from model.device import numeric_policy
from model.errors import InputError
from model.prompt import ConceptPrompt
from tasks.concepts import Concept, load_concept
from tasks.hashing import DigestMemory
from tasks.image_sets import ImageSet, git_state, image_set
from tasks.keys import ModelIdentity, Recipe, StagePlan, identify_model, plan_stages
from tasks.params import Params, load_params
from tasks.prompt_sets import EvaluationPrompt, load_prompt_set
from tasks.settings import Settings
from tasks.tracking import address_problem

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """The training of one concept."""

    settings: Settings
    concept: Concept
    images: ImageSet
    recipe: Recipe
    stages: tuple[StagePlan, ...]
    """In the order in which they run."""

    @property
    def trainings(self) -> tuple[StagePlan, ...]:
        """The stages that train."""
        return tuple(plan for plan in self.stages if plan.kind == "train")

    @property
    def labels(self) -> dict[str, str]:
        """How people call what it is made from; in no key."""
        return {
            "concept": self.concept.name,
            "method": self.recipe.method.name,
            "preset": self.recipe.params.preset,
            "image_set_state": self.images.state,
            "image_set_commit": self.images.git_commit or "",
        }


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What all concepts of one project have in common."""

    params: Params
    base: ModelIdentity
    evaluator: ModelIdentity
    prompts: tuple[EvaluationPrompt, ...]
    policy: dict[str, str]


def plan_jobs(settings: Settings, names: Iterable[str]) -> list[Job]:
    """The jobs of these concepts by what is there now, without torch and without changing anything.

    Raises:
        InputError: all problems of settings, params.yaml, models, prompt set and all concepts together.
    """
    problems: list[str] = []
    if problem := address_problem(settings):
        problems.append(problem)
    memory = DigestMemory(settings.home / "digests.json")

    def collect(make: Callable[[], T]) -> T | None:
        try:
            return make()
        except InputError as error:
            problems.extend(error.problems)
            return None

    git = git_state(settings)
    concepts: list[tuple[Concept, ImageSet]] = []
    for name in dict.fromkeys(names):
        try:
            concept = load_concept(settings, name)
            concepts.append((concept, image_set(settings, concept, git)))
        except InputError as error:
            problems += error.problems
    params = collect(lambda: load_params(settings.params_file))
    if params is None:
        raise InputError(*problems)
    base = collect(lambda: _base(settings, params, memory))
    evaluator = collect(
        lambda: identify_model(settings, memory, params.evaluator, params.evaluator_revision, "evaluator")
    )
    prompts = collect(lambda: load_prompt_set(settings.root / params.evaluation.prompts))
    policy = collect(lambda: numeric_policy(settings.device, params.dtype))
    if problems or base is None or evaluator is None or prompts is None or policy is None:
        raise InputError(*problems)
    memory.save()
    shared = _Shared(params=params, base=base, evaluator=evaluator, prompts=prompts, policy=policy)
    return [_job(settings, shared, concept, images) for concept, images in concepts]


def _base(settings: Settings, params: Params, memory: DigestMemory) -> ModelIdentity:
    folder = settings.root / params.base
    if folder.is_dir():
        check_base_folder(folder)
        if params.prepare.max_short_side < (resolution := base_resolution(folder)):
            raise InputError(
                f"{settings.params_file.name}: prepare.max_short_side = {params.prepare.max_short_side}: "
                f"base model '{params.base}' learns from {resolution} pixels, so at least as many are needed"
            )
    return identify_model(settings, memory, params.base, params.base_revision, "base model")


def _job(settings: Settings, shared: _Shared, concept: Concept, images: ImageSet) -> Job:
    params, method = shared.params, shared.params.training()
    template = concept.instance_prompt or method.instance_prompt
    recipe = Recipe(
        image_set=images.digest,
        prompt=ConceptPrompt(concept.placeholder_token, concept.super_category, template),
        method=method,
        params=params,
        prompts=tuple(prompt.text for prompt in shared.prompts),
        base=shared.base,
        evaluator=shared.evaluator,
        numeric_policy=shared.policy,
        captions={
            "concept": concept.name,
            "super_category": concept.super_category,
            "instance_prompt": template,
            "licence": concept.licence,
            "source": concept.source,
            "consent": concept.consent,
            "method": method.name,
            "base": params.base,
            "evaluator": params.evaluator,
        },
    )
    return Job(settings=settings, concept=concept, images=images, recipe=recipe, stages=plan_stages(recipe))

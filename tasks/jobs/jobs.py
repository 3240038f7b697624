"""What is to be done for a concept: everything that its training is made from, checked, with the keys of its stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

from model.bases.base_files import base_family, base_resolution
from model.bases.prompt import ConceptPrompt
from model.errors import InputError
from model.methods.method import Method
from model.runtime.device import numeric_policy
from tasks.concepts.concepts import Concept, load_concept
from tasks.concepts.image_sets import ImageSet, ImagesMissing, git_state, image_set, recorded_set
from tasks.files.hashing import DigestMemory
from tasks.jobs.adopted_stages import Exists, counted
from tasks.jobs.adoptions import Adoptions, read_adoptions
from tasks.jobs.keys import Recipe, StagePlan, Workings, find_workings, plan_stages
from tasks.jobs.models import ModelIdentity, identify_model
from tasks.project.base_limits import base_folder, check_short_side
from tasks.project.params import Params, load_params
from tasks.project.prompt_sets import PromptSet, load_prompt_set
from tasks.project.settings import Settings
from tasks.store.blobs import StoreFailed
from tasks.store.store import Store, open_store
from tasks.tracking.address import address_problem

T = TypeVar("T")
_ASKED_ONE_BY_ONE = 3
"""Jobs; of more a listing of the store is quicker."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The training of one concept."""

    settings: Settings
    concept: Concept
    images: ImageSet
    recipe: Recipe
    stages: tuple[StagePlan, ...]
    """In the order in which they run; those whose artefacts count by an adoption are planned as they were made."""
    adopted: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Records of the adoptions by which they count, by stage (tasks/jobs/adoptions.py)."""

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
    method: Method
    base: ModelIdentity
    evaluator: ModelIdentity
    identity_model: ModelIdentity | None
    prompt_set: PromptSet
    policy: dict[str, str]
    workings: dict[str, Workings]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Concepts as they are now: what is to be done for each, and what is wrong with those that cannot be trained."""

    jobs: tuple[Job, ...]
    problems: Mapping[str, tuple[str, ...]]
    """By concept; one sentence each."""


def plan_jobs(settings: Settings, names: Iterable[str], params: Params | None = None) -> list[Job]:
    """The jobs of these concepts by what is there now, without torch and without changing anything.

    `params` take the place of those in params.yaml.

    Raises:
        InputError: all problems of settings, params.yaml, models, prompt set and all concepts together.
        StoreFailed: what the store has adopted cannot be read.
    """
    found = survey(settings, names, params)
    if found.problems:
        raise InputError(*_all(found.problems))
    return with_adoptions(settings, found.jobs)


def with_adoptions(settings: Settings, jobs: Sequence[Job]) -> list[Job]:
    """The jobs with the artefacts that count as theirs by the adoptions of the store.

    Raises:
        InputError: adoptions that were changed.
        StoreFailed: they cannot be read.
    """
    store = open_store(settings)
    try:
        adoptions = read_adoptions(store)
    except StoreFailed:
        store.probe()  # it tells a place that can never be used from one that does not answer now
        raise
    if not adoptions.in_force:
        return list(jobs)
    return counted_jobs(jobs, adoptions, _artefacts(store, len(jobs)))


def counted_jobs(jobs: Iterable[Job], adoptions: Adoptions, exists: Exists) -> list[Job]:
    """The jobs with the artefacts that count as theirs."""
    found = []
    for job in jobs:
        stages, adopted = counted(job.stages, adoptions, exists)
        found.append(replace(job, stages=stages, adopted=adopted) if adopted else job)
    return found


def _artefacts(store: Store, jobs: int) -> Exists:
    """Whether an artefact is there: of a few jobs asked one by one, of many by a listing. Raises StoreFailed."""
    if jobs > _ASKED_ONE_BY_ONE:
        there = store.artefacts()
        return lambda stage, key: (stage, key) in there
    return cache(lambda stage, key: bool(store.read_all([(stage, key)])))


def survey(
    settings: Settings, names: Iterable[str], given: Params | None = None, *, by_records: bool = False
) -> Survey:
    """Like `plan_jobs`, with the problems of single concepts beside the jobs of the others; asks no store, so that
    `with_adoptions` has to tell which artefacts count.

    With `by_records`, images that are not here are taken to be those that DVC has on record: enough to know a job by,
    and not to do it.

    Raises:
        InputError: something that all concepts need is wrong; all problems together, those of the concepts too.
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

    concepts, concept_problems = _concepts(settings, dict.fromkeys(names), by_records)
    params = given or collect(lambda: load_params(settings.params_file))
    if params is None:
        raise InputError(*problems, *_all(concept_problems))
    base = collect(lambda: _base(settings, params, memory))
    evaluator = collect(
        lambda: identify_model(settings, memory, params.evaluator, params.evaluator_revision, "evaluator")
    )
    identity_model = collect(lambda: _identity_model(settings, params, memory))
    prompt_set = collect(lambda: load_prompt_set(settings.root / params.evaluation.prompts))
    policy = collect(lambda: numeric_policy(settings.device, params.dtype))
    if policy is not None:
        problems += _sharing_problems(settings, params, policy["device"])
    if problems or base is None or evaluator is None or prompt_set is None or policy is None:
        raise InputError(*problems, *_all(concept_problems))
    memory.save()
    shared = _Shared(
        params=params,
        method=params.training(),
        base=base,
        evaluator=evaluator,
        identity_model=identity_model,
        prompt_set=prompt_set,
        policy=policy,
        workings=find_workings(),
    )
    jobs = tuple(_job(settings, shared, concept, images) for concept, images in concepts)
    return Survey(jobs=jobs, problems=concept_problems)


def _concepts(
    settings: Settings, names: Iterable[str], by_records: bool
) -> tuple[list[tuple[Concept, ImageSet]], dict[str, tuple[str, ...]]]:
    """Concepts with their images, and what is wrong with the others."""
    git, memory = git_state(settings), DigestMemory(settings.home / "image-digests.json", "md5")
    concepts: list[tuple[Concept, ImageSet]] = []
    problems: dict[str, tuple[str, ...]] = {}
    called: dict[str, str] = {}
    for name in names:
        try:
            concept = load_concept(settings, name)
            if (other := called.setdefault(concept.artifact_key, name)) != name:
                raise InputError(
                    f"concepts '{other}' and '{name}' differ in dashes and underscores alone, and have one name on "
                    "Prefect's pages: rename one of the folders"
                )
            concepts.append((concept, image_set(settings, concept, git, memory)))
        except ImagesMissing as error:
            if (recorded := recorded_set(settings, concept, git) if by_records else None) is not None:
                concepts.append((concept, recorded))
            else:
                problems[name] = error.problems
        except InputError as error:
            problems[name] = error.problems
    memory.save()
    return concepts, problems


def _all(problems: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [problem for listed in problems.values() for problem in listed]


def _base(settings: Settings, params: Params, memory: DigestMemory) -> ModelIdentity:
    if folder := base_folder(settings, params):
        check_short_side(settings, params, base_resolution(folder))
        family = base_family(folder)
        if problems := [said for stage in params.training().stages for said in family.stage_problems(stage)]:
            raise InputError(*(f"{settings.params_file.name}: {problem}" for problem in problems))
    return identify_model(settings, memory, params.base, params.base_revision, "base model")


def _sharing_problems(settings: Settings, params: Params, device: str) -> Iterator[str]:
    """Why the stages' steps cannot be shared by as many processes as the settings say."""
    if settings.processes > 1 and device == "mps":
        yield f"setting processes = {settings.processes}: device mps is one alone; set processes to 1"
    for stage in params.training().stages:
        if uneven := stage.uneven_share(settings.processes):
            yield f"{settings.params_file.name}: {uneven}, or another setting processes"


def _identity_model(settings: Settings, params: Params, memory: DigestMemory) -> ModelIdentity | None:
    if params.identity_model is None:
        return None
    return identify_model(settings, memory, params.identity_model, params.identity_model_revision, "identity model")


def _job(settings: Settings, shared: _Shared, concept: Concept, images: ImageSet) -> Job:
    params, method = shared.params, shared.method
    template = concept.instance_prompt or method.instance_prompt
    recipe = Recipe(
        image_set=images.digest,
        prompt=ConceptPrompt(
            concept.placeholder_token, concept.super_category, template, names_category=method.names_category
        ),
        method=method,
        params=params,
        prompts=tuple(prompt.text for prompt in shared.prompt_set.prompts),
        words={prompt.text: prompt.word for prompt in shared.prompt_set.prompts if prompt.word},
        tags={prompt.text: prompt.tags for prompt in shared.prompt_set.prompts if prompt.tags},
        scenes=shared.prompt_set.scenes,
        base=shared.base,
        evaluator=shared.evaluator,
        identity_model=shared.identity_model,
        numeric_policy=shared.policy,
        processes=settings.processes,
        workings=shared.workings,
        captions={
            "concept": concept.name,
            "super_category": concept.super_category,
            "names_category": method.names_category,
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

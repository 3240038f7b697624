"""The keys of all stages of a concept's training, known before anything runs and without torch.

A stage's key is the sha256 of everything that can change its result, and of nothing else: not the machine, the clock,
paths, or what only describes the concept. Stages are chained by the key of the stage before.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from model.bases.prompt import ConceptPrompt
from model.drawing.sampling_options import MOVES
from model.methods.method import Method, Stage
from tasks.files.hashing import digest_of
from tasks.jobs.code_digest import ALL, code_digests
from tasks.jobs.kinds import KINDS, kind_name
from tasks.jobs.libraries import counted_versions
from tasks.jobs.models import ModelIdentity
from tasks.project.params import SMALL, Params, SamplingParams
from tasks.store.manifest import MODELS, SCHEMA, Manifest


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage that may have to run: its key and everything that went into the key."""

    stage: str
    """Its name in the store: "prepare", "class_images", "train-1-embedding", ..., "evaluate", "gallery"."""
    reads: Mapping[str, str]
    """Kind of what it reads (an earlier stage, "image_set"): key."""
    parameters: Mapping[str, Any]
    code: Mapping[str, str]
    """Digests of what it runs: over all of it, and by source file, which says where a change is."""
    packages: Mapping[str, str]
    """What counts of the version of each library that has a say."""
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Identity of each pretrained model, by its kind: "base"."""
    seed: int | None = None
    numeric_policy: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """sha256 of the canonical JSON of all the above; of its code the digest over all of it, which knows no path.

        Stages from before there was that one count by the digests of their files.
        """
        code = {ALL: self.code[ALL]} if ALL in self.code else self.code
        return digest_of({"schema": SCHEMA, **self.facts(), "code": code})

    def facts(self) -> dict[str, Any]:
        """All the above by name, ready for JSON."""
        return {fact.name: getattr(self, fact.name) for fact in dataclasses.fields(self)}

    @property
    def kind(self) -> str:
        """The name of the stage's kind, one of `tasks.jobs.kinds.KINDS`."""
        return kind_name(self.stage)


@dataclass(frozen=True, kw_only=True)
class Workings:
    """What runs the stages of one kind: the same for all concepts, so it is looked up once."""

    code: Mapping[str, str]
    """As in `StagePlan`."""
    packages: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a concept's training is made from, as far as it can change a result."""

    image_set: str
    """Digest of the image set."""
    prompt: ConceptPrompt
    method: Method
    params: Params
    prompts: Sequence[str]
    """The evaluation's prompts, each with one {}."""
    words: Mapping[str, str] = field(default_factory=dict)
    """By prompt the word whose attention is shown beside that of the concept."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By prompt what it asks for beyond the concept."""
    scenes: tuple[str, ...] = ()
    """That a comparison tells apart; they change no evaluation."""
    base: ModelIdentity
    evaluator: ModelIdentity
    identity_model: ModelIdentity | None = None
    numeric_policy: Mapping[str, str]
    processes: int = 1
    """That share each step of a training: the order of sums."""
    captions: Mapping[str, Any]
    """What the gallery says beside the pictures."""
    workings: Mapping[str, Workings]
    """By kind of stage."""

    @property
    def scene_texts(self) -> list[str]:
        """The super-category in each scene, as the evaluator reads it."""
        return [f"a photo of a {self.prompt.super_category} {scene}" for scene in self.scenes]

    @property
    def picture_prompts(self) -> tuple[str, ...]:
        """What is drawn while a stage trains: the instance prompt, and the evaluation's first. In no key."""
        return (self.prompt.template, *self.prompts[:1])

    @property
    def models(self) -> dict[str, ModelIdentity]:
        """The pretrained models, by kind."""
        models = {"base": self.base, "evaluator": self.evaluator}
        return models | ({"identity_model": self.identity_model} if self.identity_model else {})


def find_workings() -> dict[str, Workings]:
    """What runs each kind of stage, by the source code and the libraries that are here now."""
    names = {name for kind in KINDS.values() for name in (*kind.packages, *kind.lora_packages)}
    versions = counted_versions(names)
    return {
        name: Workings(
            code=code_digests(kind.module),
            packages={package: versions[package] for package in (*kind.packages, *kind.lora_packages)},
        )
        for name, kind in KINDS.items()
    }


def plan_stages(recipe: Recipe) -> tuple[StagePlan, ...]:
    """All stages in the order in which they run: prepare, class images, training stages, evaluate, gallery."""
    params = recipe.params
    prepare = _plan(recipe, "prepare", reads={"image_set": recipe.image_set}, parameters=params.prepare.model_dump())
    class_images = [_class_images(recipe)] if recipe.method.class_images else []
    shared = {"processes": str(recipe.processes)} if recipe.processes > 1 else {}
    trainings: list[StagePlan] = []
    for number, stage in enumerate(recipe.method.stages, 1):
        before = [prepare, *class_images] if stage.has_prior else [prepare]
        before += trainings[-1:] if stage.starts_from == "previous_stage" else []
        trainings.append(
            _plan(
                recipe,
                f"train-{number}-{stage.name}",
                reads={plan.stage: plan.key for plan in before},
                packages=_packages(recipe, stage),
                parameters={
                    "stage": _fields(stage),
                    "prompt": _fields(recipe.prompt),
                    **(_form(recipe) if number == len(recipe.method.stages) else {}),
                },
                models={"base": recipe.base.identity},
                seed=params.seed,
                numeric_policy={**recipe.numeric_policy, **shared},
            )
        )
    evaluate = _plan(
        recipe,
        "evaluate",
        reads={plan.stage: plan.key for plan in (prepare, *trainings)},
        parameters={
            "prompts": list(recipe.prompts),
            "images_per_prompt": params.evaluation.images_per_prompt,
            "base_images_per_prompt": params.evaluation.base_images_per_prompt,
            "guidance_scale": params.sampling.guidance_scale,
            "num_inference_steps": params.sampling.num_inference_steps,
            # What is drawn side by side is rounded otherwise than what is drawn alone.
            "batch_size": params.sampling.batch_size,
            **_moves(params.sampling),
        },
        models={kind: model.identity for kind, model in recipe.models.items()},
        seed=params.evaluation.seed,
        numeric_policy=recipe.numeric_policy,
    )
    gallery = _plan(
        recipe,
        "gallery",
        reads={plan.stage: plan.key for plan in (prepare, evaluate)},
        parameters=dict(recipe.captions),
    )
    return (prepare, *class_images, *trainings, evaluate, gallery)


def _form(recipe: Recipe) -> dict[str, str]:
    """In which form the last stage leaves the concept model; nothing of the exact one, as before there were others."""
    return {"form": SMALL} if recipe.params.model_form == SMALL and recipe.method.trains_weights else {}


def _moves(sampling: SamplingParams) -> dict[str, float]:
    """How [V] is moved at drawing; nothing where it is not, as before it could be."""
    return {name: value for name in MOVES if (value := getattr(sampling, name))}


def _class_images(recipe: Recipe) -> StagePlan:
    """Pictures of the super-category by the untrained base: all concepts of a super-category share them."""
    sampling = recipe.params.sampling
    return _plan(
        recipe,
        "class_images",
        reads={},
        parameters={
            "prompt": recipe.prompt.class_text,
            "count": recipe.method.class_images,
            "guidance_scale": sampling.guidance_scale,
            "num_inference_steps": sampling.num_inference_steps,
            "batch_size": sampling.batch_size,
        },
        models={"base": recipe.base.identity},
        seed=recipe.params.seed,
        numeric_policy=recipe.numeric_policy,
    )


def plan_maps(recipe: Recipe, trainings: Sequence[StagePlan]) -> StagePlan:
    """Pictures with attention maps after every training stage: of the prompts that have a word, or of the first."""
    params = recipe.params
    return _plan(
        recipe,
        "maps",
        reads={plan.stage: plan.key for plan in trainings},
        parameters={
            "prompts": [[prompt, word] for prompt, word in recipe.words.items()] or [[recipe.prompts[0], None]],
            "guidance_scale": params.sampling.guidance_scale,
            "num_inference_steps": params.sampling.num_inference_steps,
            **_moves(params.sampling),
        },
        models={"base": recipe.base.identity},
        seed=params.evaluation.seed,
        numeric_policy=recipe.numeric_policy,
    )


def _packages(recipe: Recipe, stage: Stage) -> dict[str, str]:
    """The libraries that have a say in a training stage."""
    packages, of_loras = recipe.workings["train"].packages, KINDS["train"].lora_packages
    return {name: version for name, version in packages.items() if stage.lora_rank or name not in of_loras}


def _plan(recipe: Recipe, stage: str, **facts: Any) -> StagePlan:
    workings = recipe.workings[kind_name(stage)]
    return StagePlan(**{"stage": stage, "code": workings.code, "packages": workings.packages, **facts})


@lru_cache(maxsize=256)
def _fields(value: Stage | ConceptPrompt) -> dict[str, Any]:
    """A flat dataclass as plain values; a thousand concepts share the stages of one method."""
    return value.facts() if isinstance(value, Stage) else dataclasses.asdict(value)


def plan_of(manifest: Manifest) -> StagePlan:
    """Everything that went into the key; where the manifest is as it was, the plan's key is the manifest's.

    Manifests from before they described the evaluator are read as if that lay in a folder.
    """
    models: dict[str, Mapping[str, str]] = {}
    for entry in manifest.inputs:
        if entry.kind in MODELS:
            described = manifest.models.get(entry.kind)
            if described is None or described["revision"] is None:
                models[entry.kind] = {"digest": entry.digest}
            else:
                models[entry.kind] = {"id": described["reference"], "revision": described["revision"]}
    return StagePlan(
        stage=manifest.stage,
        reads={entry.kind: entry.key for entry in manifest.inputs if entry.kind not in MODELS},
        parameters=manifest.parameters,
        code=manifest.code,
        packages=manifest.packages,
        models=models,
        seed=manifest.seed,
        numeric_policy=manifest.numeric_policy,
    )

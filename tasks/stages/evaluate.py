"""Evaluation: pictures of every prompt by the trained concept and by the untrained base, and the scores of both."""

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from model.drawing.sampling_options import Sampling, moves_of
from tasks.execution.kept_pictures import KeptPictures
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.execution.work_folders import kept_folder
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import kind_name
from tasks.store.artefacts import (
    BASE_GENERATIONS,
    CATEGORY_MAP,
    EMBEDDINGS,
    GENERATIONS,
    IMAGES,
    PLACEHOLDER_MAP,
    PREVIEW,
    SCORES,
    STAGES,
    WEIGHTS,
)
from tasks.store.manifest import Manifest
from tasks.store.pictures import pictures

if TYPE_CHECKING:
    from model.bases.base import Base
    from model.weights.concept import ConceptWeights


_SAMPLING = ("guidance_scale", "num_inference_steps", "batch_size")


def make_evaluation(plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path) -> Metrics:
    """Write pictures of all prompts, a preview with attention maps of each training stage, and what they score.

        generations/<prompt>/<picture>.png    by the trained concept
        base/<prompt>/<picture>.png           by the untrained base: placeholder taken out, the same seeds
        stages/<stage>/preview.png            the instance prompt after that stage
        stages/<stage>/attention_placeholder.png, attention_super_category.png (where the prompt names it)
        scores.json, embeddings.safetensors   of the trained concept's pictures, of the images and of the prompts

    Pictures that were drawn before the stage was stopped are not drawn again.

    Raises:
        Damaged: images or weights in the store are not as they were.
    """
    from safetensors.torch import save

    from model.drawing.sample import generate
    from model.scores.metrics import embed, embed_others, scores_of
    from model.weights.concept import ConceptWeights
    from tasks.execution.loaded_base import open_base
    from tasks.execution.loaded_evaluator import open_evaluator, open_identity_model

    job, facts = context.job, plan.parameters
    device = job.settings.device
    trainings = [inputs[stage] for stage in plan.reads if kind_name(stage) == "train"]
    weights = [ConceptWeights.load(context.store.file(training, WEIGHTS)) for training in trainings]
    concept, prompts = weights[-1].prompt, facts["prompts"]
    assert plan.seed is not None  # what draws has one
    sampling = Sampling(seed=plan.seed, **{name: facts[name] for name in _SAMPLING}, **moves_of(facts))
    autocast = plan.numeric_policy["autocast"]
    base = open_base(job.recipe.base, device)
    per_prompt, base_per_prompt = facts["images_per_prompt"], facts["base_images_per_prompt"]
    plain = [concept.without_placeholder(prompt) for prompt in prompts]
    total = len(prompts) * (per_prompt + base_per_prompt) + len(weights)
    with context.progress(plan, total, "pictures") as advance:
        finished = itertools.count(1)

        def draw(weights: ConceptWeights | None, prompts: list[str], count: int, room: str) -> list[list[Image.Image]]:
            kept = KeptPictures(kept_folder(job.settings, plan) / room)

            def keep_picture(prompt: int, image: int, picture: Image.Image) -> None:
                kept.put(prompt, image, picture)
                advance(next(finished), "")

            drawn = generate(
                base, weights, prompts, count, sampling, autocast=autocast, on_image=keep_picture, drawn=kept.get
            )
            for prompt, image in itertools.product(range(len(prompts)), range(count)):
                place = folder / room / f"{prompt:02}" / f"{image:02}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(kept.path(prompt, image), place)
            return drawn

        filled = [concept.fill(prompt) for prompt in prompts]
        generated = draw(weights[-1], filled, per_prompt, GENERATIONS)
        untrained = draw(None, plain, base_per_prompt, BASE_GENERATIONS)
        for training, stage_weights in zip(trainings, weights, strict=True):
            name = training.parameters["stage"]["name"]
            _save_maps(base, stage_weights, sampling, autocast, folder / STAGES / name)
            advance(next(finished), "")
    instance_images = pictures(context.store, inputs["prepare"], IMAGES)
    evaluator = open_evaluator(job.recipe.evaluator, device)
    identity_model = open_identity_model(job.recipe.identity_model, device)

    embeddings = embed(generated, instance_images, plain, evaluator=evaluator, identity_model=identity_model)
    of_base = embed_others(embeddings, untrained, evaluator=evaluator, identity_model=identity_model)
    scores, base_scores = scores_of(embeddings, plain), scores_of(of_base, plain)
    document = {
        **scores.to_dict(),
        **{f"base_{name}": dataclasses.asdict(interval) for name, interval in base_scores.intervals.items()},
        "base_images_per_prompt": base_scores.images_per_prompt,
        "evaluator": dict(plan.models["evaluator"]),
    }
    if "identity_model" in plan.models:
        document["identity_model"] = dict(plan.models["identity_model"])
    (folder / EMBEDDINGS).write_bytes(save(embeddings.tensors()))
    (folder / SCORES).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    means = {name: interval.mean for name, interval in scores.intervals.items()}
    return means | {f"base_{name}": interval.mean for name, interval in base_scores.intervals.items()}


def _save_maps(base: "Base", weights: "ConceptWeights", sampling: Sampling, autocast: str, folder: Path) -> None:
    from model.drawing.attention_maps import attention_maps, overlay

    maps = attention_maps(base, weights, sampling, autocast=autocast)
    folder.mkdir(parents=True)
    maps.image.save(folder / PREVIEW)
    overlay(maps.image, maps.placeholder).save(folder / PLACEHOLDER_MAP)
    if maps.super_category is not None:
        overlay(maps.image, maps.super_category).save(folder / CATEGORY_MAP)


evaluate = stage_task("evaluate", make_evaluation)

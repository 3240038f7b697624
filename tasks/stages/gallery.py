"""The gallery of a training: what people look at, drawn from the evaluation's pictures and scores."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from PIL import Image

from model.reading.pictures import OURS, open_picture
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.execution.work_folders import pictures_folder
from tasks.figures.gallery import write_gallery
from tasks.figures.gallery_content import GalleryFacts, OnTheWay, StageView
from tasks.jobs.keys import StagePlan
from tasks.registry.training_facts import content_key_of
from tasks.store.artefacts import (
    BASE_GENERATIONS,
    CATEGORY_MAP,
    GENERATIONS,
    IMAGES,
    PLACEHOLDER_MAP,
    PREVIEW,
    STAGES,
)
from tasks.store.manifest import Manifest
from tasks.store.pictures import picture, pictures
from tasks.store.scores import load_scores


def make_gallery(plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path) -> Metrics:
    """Write `gallery.png`, a contact sheet, and `index.html`, a page that holds its pictures inside itself.

    Raises:
        Damaged: images, pictures or scores in the store are not as they were.
    """
    job, store, evaluation = context.job, context.store, inputs["evaluate"]
    numbers = range(len(job.recipe.prompts))
    trainings = {training.parameters["stage"]["name"]: training for training in job.trainings}
    write_gallery(
        folder,
        facts=GalleryFacts(
            **plan.parameters,
            data_version=job.images.digest,
            keys={stage.stage: stage.key for stage in job.stages if stage.kind != "gallery"},
            seed=job.recipe.params.seed,
            content=content_key_of({stage.stage: stage.key for stage in job.stages}),
        ),
        concept_images=pictures(store, inputs["prepare"], IMAGES),
        prompts=job.recipe.prompts,
        generations=[pictures(store, evaluation, f"{GENERATIONS}/{number:02}") for number in numbers],
        base_generations=[pictures(store, evaluation, f"{BASE_GENERATIONS}/{number:02}") for number in numbers],
        stages=[
            StageView(
                name=name,
                preview=picture(store, evaluation, f"{STAGES}/{name}/{PREVIEW}"),
                placeholder=picture(store, evaluation, f"{STAGES}/{name}/{PLACEHOLDER_MAP}"),
                super_category=picture(store, evaluation, f"{STAGES}/{name}/{CATEGORY_MAP}")
                if job.recipe.prompt.names_category
                else None,
                on_the_way=_on_the_way(context, training),
            )
            for name, training in trainings.items()
        ],
        scores=load_scores(store, evaluation),
    )
    return {}


def _on_the_way(context: StageContext, training: StagePlan) -> list[OnTheWay]:
    """What was drawn while a stage trained, as far as this machine has it: no artefact holds it."""
    folder = pictures_folder(context.job.settings, training)
    found: dict[int, list[tuple[int, Image.Image]]] = {}
    for path in sorted(folder.glob("*-*.png")):
        step, _, number = path.stem.partition("-")
        with suppress(OSError, SyntaxError, ValueError), open_picture(path, OURS) as picture:  # cut off, or no longer
            picture.load()
            found.setdefault(int(number), []).append((int(step), picture.copy()))
    prompts = context.job.recipe.picture_prompts
    return [
        OnTheWay(prompt=prompts[number], pictures=drawn) for number, drawn in found.items() if number < len(prompts)
    ]


gallery = stage_task("gallery", make_gallery)

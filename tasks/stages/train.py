"""One training stage of the method, from the prepared images and the weights that the stage before has left."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from model.bases.prompt import ConceptPrompt
from model.drawing.sampling_options import Sampling
from model.methods.method import Stage
from model.runtime.device import DeviceType
from model.training.checkpoint_interval import CheckpointInterval
from model.training.picture_steps import PictureInterval
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.execution.work_folders import kept_folder, pictures_folder, sweep_pictures
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import kind_name
from tasks.project.params import SMALL
from tasks.store.artefacts import CLASS_IMAGES, CURVES, IMAGES, WEIGHTS
from tasks.store.manifest import Manifest
from tasks.store.pictures import pictures

_PICTURE_STEPS = 8
"""Of the sampler, for pictures on the way: enough to see what has been learnt."""

if TYPE_CHECKING:
    from model.drawing.training_pictures import TrainingPictures
    from model.training.curve import Step
    from model.training.train import TrainedStage


def make_weights(plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path) -> Metrics:
    """Write `concept.safetensors` and `curves.json`, a list of the training's figures at every tenth step.

    The weights are exact, so that the next stage goes on from just these. The last stage's are the concept model, in
    the form that the plan names: it is made here, so that what is evaluated is what will be registered.

    A training that was stopped goes on from its newest checkpoint (see the setting `checkpoint_every`). Pictures that
    are drawn on the way (`training_pictures`) are of no artefact: they change nothing of what is learnt.

    Raises:
        InputError: the base cannot be taught this concept.
        WorkFailed: the loss is no longer a number.
        Damaged: the images or weights in the store are not as they were.
    """
    from model.training.checkpoint import Checkpoints
    from model.training.several_processes import Processes, train_jointly
    from model.training.train import train_stage
    from model.weights.concept import ConceptWeights
    from tasks.execution.loaded_base import open_base

    stage, prompt = Stage(**plan.parameters["stage"]), ConceptPrompt(**plan.parameters["prompt"])
    assert plan.seed is not None  # what trains has one
    before = next((read for read in plan.reads if kind_name(read) == "train"), None)
    previous = ConceptWeights.load(context.store.file(inputs[before], WEIGHTS)) if before else None
    images = pictures(context.store, inputs["prepare"], IMAGES)
    drawn = inputs["class_images"] if stage.has_prior else None
    class_images = pictures(context.store, drawn, CLASS_IMAGES) if drawn else []
    settings, base = context.job.settings, context.job.recipe.base
    kept = kept_folder(settings, plan)
    checkpoints = Checkpoints(
        kept / "checkpoints",
        identity=plan.key,
        every=CheckpointInterval.parse(settings.checkpoint_every),
        warn=lambda said: context.warn(f"{context.job.concept.name} {plan.stage}: {said}"),
    )
    count, device = int(plan.numeric_policy.get("processes", 1)), cast(DeviceType, plan.numeric_policy["device"])
    painter = None if count > 1 else _painter(plan, stage, prompt, context)
    run: Callable[..., TrainedStage]
    if count > 1:
        processes = Processes(count=count, base=base.location, base_revision=base.revision, device=device)
        run = partial(train_jointly, processes, folder=kept / "joint")
    else:
        run = partial(train_stage, base=open_base(base, settings.device), painter=painter)
    with (
        context.progress(plan, stage.max_train_steps, "steps") as advance,
        context.journal.stage(plan) as journal,
    ):

        def on_step(step: "Step") -> None:
            advance(step.step, f"loss {step.loss:.4f}")
            journal.step(step)
            if painter and all(path.exists() for path in painter.at(step.step)):
                journal.pictures(step.step, context.job.recipe.picture_prompts, painter.at(step.step))

        trained = run(
            stage=stage,
            images=images,
            prompt=prompt,
            previous=previous,
            seed=plan.seed,
            class_images=class_images,
            autocast=plan.numeric_policy["autocast"],
            on_step=on_step,
            checkpoints=checkpoints,
        )
    weights = trained.weights
    if plan.parameters.get("form") == SMALL:
        weights = weights.shrunk(open_base(base, settings.device if count == 1 else "cpu"))
    weights.save(folder / WEIGHTS)
    points = [point.written() | {"max_train_steps": stage.max_train_steps} for point in trained.curve]
    # What the clock says differs from run to run, and the same weights shall be the same artefact.
    pace = [point.pop("samples_per_second") for point in points]
    (folder / CURVES).write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    losses = {name: value for name, value in points[-1].items() if name.endswith("loss")}
    return {**losses, "samples_per_second": pace}


def _painter(plan: StagePlan, stage: Stage, prompt: ConceptPrompt, context: StageContext) -> "TrainingPictures | None":
    """Who draws while the stage trains; None where nobody is to."""
    from model.drawing.training_pictures import TrainingPictures

    settings, params, prompts = context.job.settings, context.job.recipe.params, context.job.recipe.picture_prompts
    sampling = Sampling(
        guidance_scale=params.sampling.guidance_scale,
        num_inference_steps=min(params.sampling.num_inference_steps, _PICTURE_STEPS),
        seed=params.evaluation.seed,
    )
    steps = PictureInterval.parse(settings.training_pictures).due(
        stage,
        prompts=len(prompts),
        num_inference_steps=sampling.num_inference_steps,
        guided=sampling.guidance_scale != 1,
    )
    sweep_pictures(settings)
    if not steps:
        return None
    return TrainingPictures(
        pictures_folder(settings, plan),
        steps=steps,
        templates=prompts,
        prompt=prompt,
        sampling=sampling,
        autocast=plan.numeric_policy["autocast"],
        warn=lambda said: context.warn(f"{context.job.concept.name} {plan.stage}: {said}"),
    )


train = stage_task("train", make_weights)

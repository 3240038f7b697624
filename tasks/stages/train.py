"""One training stage of the method, from the prepared images and the weights that the stage before has left."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect import task

from model.bases.prompt import ConceptPrompt
from model.methods.method import Stage
from model.runtime.device import DeviceType
from model.training.checkpoint_interval import CheckpointInterval
from tasks.execution.caching import TASK, Bench, Metrics, keep
from tasks.execution.work_folders import kept_folder
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import CLASS_IMAGES, CURVES, IMAGES, WEIGHTS
from tasks.store.pictures import pictures

if TYPE_CHECKING:
    from model.training.train import TrainedStage


@task(name="train", task_run_name="{plan.stage}", **TASK)
def train(plan: StagePlan, bench: Bench) -> dict[str, Any]:
    """Train one stage, or take what it left from the store. Only failures of the store are tried again."""
    return keep(bench, plan, lambda folder: train_weights(plan, bench, folder))


def train_weights(plan: StagePlan, bench: Bench, folder: Path) -> Metrics:
    """Write `concept.safetensors` and `curves.json`, a list of the training's figures at every tenth step.

    A training that was stopped goes on from its newest checkpoint (see the setting `checkpoint_every`).

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
    before = next((kind for kind in plan.reads if kind.startswith("train-")), None)
    previous = ConceptWeights.load(bench.store.file(bench.manifests[before], WEIGHTS)) if before else None
    images = pictures(bench.store, bench.manifests["prepare"], IMAGES)
    drawn = bench.manifests["class_images"] if stage.has_prior else None
    class_images = pictures(bench.store, drawn, CLASS_IMAGES) if drawn else []
    settings, base = bench.job.settings, bench.job.recipe.base
    kept = kept_folder(settings, plan)
    checkpoints = Checkpoints(
        kept / "checkpoints",
        identity=plan.key,
        every=CheckpointInterval.parse(settings.checkpoint_every),
        warn=lambda said: bench.warn(f"{bench.job.concept.name} {plan.stage}: {said}"),
    )
    count, device = int(plan.numeric_policy.get("processes", 1)), cast(DeviceType, plan.numeric_policy["device"])
    run: Callable[..., TrainedStage]
    if count > 1:
        processes = Processes(count=count, base=base.location, base_revision=base.revision, device=device)
        run = partial(train_jointly, processes, folder=kept / "joint")
    else:
        run = partial(train_stage, base=open_base(bench.job))
    with bench.progress(plan, stage.max_train_steps, "steps") as advance:
        trained = run(
            stage=stage,
            images=images,
            prompt=prompt,
            previous=previous,
            seed=plan.seed,
            class_images=class_images,
            autocast=plan.numeric_policy["autocast"],
            on_step=lambda step: advance(step.step, f"loss {step.loss:.4f}"),
            checkpoints=checkpoints,
        )
    trained.weights.save(folder / WEIGHTS)
    points = [point.written() | {"max_train_steps": stage.max_train_steps} for point in trained.curve]
    # What the clock says differs from run to run, and the same weights shall be the same artefact.
    pace = [point.pop("samples_per_second") for point in points]
    (folder / CURVES).write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    losses = {name: value for name, value in points[-1].items() if name.endswith("loss")}
    return {**losses, "samples_per_second": pace}

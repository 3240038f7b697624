"""What the untrained base draws of a super-category, for trainings that preserve its prior; many concepts share it."""

import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from model.drawing.sampling_options import Sampling
from tasks.execution.kept_pictures import KeptPictures
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.execution.work_folders import kept_folder
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import CLASS_IMAGES
from tasks.store.manifest import Manifest


def make_class_images(plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path) -> Metrics:
    """Write `class_images/00.png` ...; pictures that were drawn before the stage was stopped are not drawn again."""
    from model.drawing.sample import generate
    from tasks.execution.loaded_base import open_base

    facts = plan.parameters
    assert plan.seed is not None  # what draws has one
    sampling = Sampling(
        seed=plan.seed, **{name: facts[name] for name in ("guidance_scale", "num_inference_steps", "batch_size")}
    )
    kept = KeptPictures(kept_folder(context.job.settings, plan) / CLASS_IMAGES)
    with context.progress(plan, facts["count"], "pictures") as advance:

        def keep_picture(prompt: int, image: int, picture: Image.Image) -> None:
            kept.put(prompt, image, picture)
            advance(image + 1, "")

        generate(
            open_base(context.job.recipe.base, context.job.settings.device),
            None,
            [facts["prompt"]],
            facts["count"],
            sampling,
            autocast=plan.numeric_policy["autocast"],
            on_image=keep_picture,
            drawn=kept.get,
        )
    (folder / CLASS_IMAGES).mkdir()
    for image in range(facts["count"]):
        os.link(kept.path(0, image), folder / CLASS_IMAGES / f"{image:02}.png")
    return {"images": facts["count"]}


class_images = stage_task("class_images", make_class_images)

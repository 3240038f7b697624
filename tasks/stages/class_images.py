"""What the untrained base draws of a super-category, for trainings that preserve its prior; many concepts share it."""

import os
from pathlib import Path
from typing import Any

from PIL import Image
from prefect import task

from model.drawing.sampling_options import Sampling
from tasks.execution.caching import TASK, Bench, Metrics, keep
from tasks.execution.kept_pictures import KeptPictures
from tasks.execution.work_folders import kept_folder
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import CLASS_IMAGES


@task(name="class_images", task_run_name="{plan.stage}", **TASK)
def draw_class_images(plan: StagePlan, bench: Bench) -> dict[str, Any]:
    """Draw the class images, or take them from the store."""
    return keep(bench, plan, lambda folder: write_class_images(plan, bench, folder))


def write_class_images(plan: StagePlan, bench: Bench, folder: Path) -> Metrics:
    """Write `class_images/00.png` ...; pictures that were drawn before the stage was stopped are not drawn again."""
    from model.drawing.sample import generate
    from tasks.execution.loaded_base import open_base

    facts = plan.parameters
    assert plan.seed is not None  # what draws has one
    sampling = Sampling(
        seed=plan.seed, **{name: facts[name] for name in ("guidance_scale", "num_inference_steps", "batch_size")}
    )
    kept = KeptPictures(kept_folder(bench.job.settings, plan) / CLASS_IMAGES)
    with bench.progress(plan, facts["count"], "pictures") as advance:

        def keep_picture(prompt: int, image: int, picture: Image.Image) -> None:
            kept.put(prompt, image, picture)
            advance(image + 1, "")

        generate(
            open_base(bench.job),
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

"""The first stage: the concept's images as every later stage reads them, upright RGB of a bounded size."""

import json
from pathlib import Path
from typing import Any

from prefect import task

from model.diffusion.shrinking import shrunk
from tasks.concepts.image_checks import pictures_among
from tasks.concepts.image_reading import normalise_image
from tasks.concepts.image_sets import local_images
from tasks.execution.caching import TASK, Bench, Metrics, keep
from tasks.files.hashing import file_digest
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import IMAGES, ORIGINS


@task(name="prepare", task_run_name="{plan.stage}", **TASK)
def prepare(plan: StagePlan, bench: Bench) -> dict[str, Any]:
    """Prepare the concept's images, or take them from the store."""
    return keep(bench, plan, lambda folder: prepare_images(plan, bench, folder))


def prepare_images(plan: StagePlan, bench: Bench, folder: Path) -> Metrics:
    """Write `images/00.png` ... in the order of the files' names, and `images.json`: which file each was made from.

    Raises:
        InputError: an image that cannot be decoded.
    """
    images = pictures_among(local_images(bench.job.settings, bench.job.concept, bench.job.images))
    digits = max(2, len(str(len(images) - 1)))
    (folder / IMAGES).mkdir()
    origins = []
    # Sorted here, where code is part of the key: the order decides which image a training step sees.
    for number, (original, path) in enumerate(sorted(images.items())):
        image = shrunk(normalise_image(path), plan.parameters["max_short_side"])
        name = f"{IMAGES}/{number:0{digits}}.png"
        image.save(folder / name)
        origins.append(
            {
                "file": name,
                "made_from": original,
                "sha256": file_digest(path),
                "width": image.width,
                "height": image.height,
            }
        )
    (folder / ORIGINS).write_text(json.dumps(origins, indent=2) + "\n", encoding="utf-8")
    return {"images": len(origins)}

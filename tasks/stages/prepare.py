"""The first stage: the concept's images as every later stage reads them, upright RGB of a bounded size."""

import json
from collections.abc import Mapping
from pathlib import Path

from model.diffusion.shrinking import shrunk
from tasks.concepts.image_checks import pictures_among
from tasks.concepts.image_reading import normalise_image
from tasks.concepts.image_sets import local_images
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.files.hashing import file_digest
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import IMAGES, ORIGINS
from tasks.store.manifest import Manifest


def make_prepared_images(
    plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path
) -> Metrics:
    """Write `images/00.png` ... in the order of the files' names, and `images.json`: which file each was made from.

    Raises:
        InputError: an image that cannot be decoded.
    """
    images = pictures_among(local_images(context.job.settings, context.job.concept, context.job.images))
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


prepare = stage_task("prepare", make_prepared_images)

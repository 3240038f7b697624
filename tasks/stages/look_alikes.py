"""The Prefect task that embeds look-alikes, among which a comparison ranks its pictures; the store keeps none of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image
from prefect import task

from tasks.execution.stage_context import StageContext

if TYPE_CHECKING:
    from torch import Tensor


@task(name="look_alikes", task_run_name="look_alikes", persist_result=False)
def embed_look_alikes(context: StageContext, pictures: Sequence[Image.Image]) -> "Tensor | None":
    """Embeddings (pictures, width) by the identity model, or by the evaluator where there is none; None for none."""
    from tasks.execution.loaded_evaluator import open_evaluator, open_identity_model

    if not pictures:
        return None
    recipe, device = context.job.recipe, context.job.settings.device
    model = open_identity_model(recipe.identity_model, device) or open_evaluator(recipe.evaluator, device)
    return model.embed_images(pictures).cpu()

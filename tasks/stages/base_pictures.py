"""The Prefect task that embeds what the untrained base drew, by which scores are rescaled, and the scenes that are told
apart; the store keeps nothing."""

from itertools import chain
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks.execution.stage_context import StageContext
from tasks.store.artefacts import BASE_GENERATIONS
from tasks.store.pictures import pictures

if TYPE_CHECKING:
    from torch import Tensor


@task(name="base_pictures", task_run_name="base_pictures", persist_result=False)
def embed_base_pictures(context: StageContext, evaluation: Any, evaluated: Any) -> "dict[str, Tensor]":
    """Embeddings (prompts, pictures, width) as `clip_base` and, where there is an identity model, `identity_base`.

    Where the prompt set lists scenes, `clip_scenes` (scenes, width) are those of a photo of the category in each.

    `evaluation` is its manifest (quoted, so that Prefect does not look into it), and `evaluated` the state of the task
    run that left the evaluation: Prefect's graph has its edge from it.

    Raises:
        Damaged: pictures in the store are not as they were.
    """
    from tasks.execution.loaded_evaluator import open_evaluator, open_identity_model

    numbers = range(len(context.job.recipe.prompts))
    drawn = [pictures(context.store, evaluation, f"{BASE_GENERATIONS}/{number:02}") for number in numbers]
    recipe, device = context.job.recipe, context.job.settings.device
    models = {
        "clip_base": open_evaluator(recipe.evaluator, device),
        "identity_base": open_identity_model(recipe.identity_model, device),
    }
    flat, shape = list(chain(*drawn)), (len(drawn), len(drawn[0]))
    embedded = {name: model.embed_images(flat).cpu().unflatten(0, shape) for name, model in models.items() if model}
    if recipe.scenes:
        embedded["clip_scenes"] = open_evaluator(recipe.evaluator, device).embed_text(recipe.scene_texts).cpu()
    return embedded

"""Where words look after each stage of a training: for comparisons, which show it method by method."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model.drawing.sampling_options import Sampling, moves_of
from tasks.execution.stage_context import Metrics, StageContext
from tasks.execution.stage_task import stage_task
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import CATEGORY_MAP, PICTURE, PLACEHOLDER_MAP, STAGES, WEIGHTS, WORD_MAP
from tasks.store.manifest import Manifest

if TYPE_CHECKING:
    from model.drawing.attention_maps import AttentionMaps


def make_maps(plan: StagePlan, context: StageContext, inputs: Mapping[str, Manifest], folder: Path) -> Metrics:
    """Write for each training stage and each prompt its first picture, and where words looked while it was drawn.

        stages/<stage>/<prompt>/picture.png, attention_placeholder.png
        stages/<stage>/<prompt>/attention_super_category.png (where the prompt names it), attention_word.png (where
            there is one)

    Raises:
        InputError: a word does not stand in its prompt.
        Damaged: weights in the store are not as they were.
    """
    from model.drawing.attention_maps import attention_maps
    from model.weights.concept import ConceptWeights
    from tasks.execution.loaded_base import open_base

    facts = plan.parameters
    assert plan.seed is not None  # what draws has one
    # Each picture is drawn alone, so the batch size has no say.
    sampling = Sampling(
        seed=plan.seed,
        guidance_scale=facts["guidance_scale"],
        num_inference_steps=facts["num_inference_steps"],
        **moves_of(facts),
    )
    autocast = plan.numeric_policy["autocast"]
    base = open_base(context.job.recipe.base, context.job.settings.device)
    with context.progress(plan, len(plan.reads) * len(facts["prompts"]), "maps") as advance:
        done = 0
        for stage in plan.reads:
            training = inputs[stage]
            weights = ConceptWeights.load(context.store.file(training, WEIGHTS))
            for number, (prompt, word) in enumerate(facts["prompts"]):
                filled = weights.prompt.fill(prompt)
                maps = attention_maps(base, weights, sampling, text=filled, word=word, autocast=autocast)
                _save(maps, folder / STAGES / training.parameters["stage"]["name"] / f"{number:02}")
                advance(done := done + 1, "")
    return {}


def _save(maps: "AttentionMaps", folder: Path) -> None:
    from model.drawing.attention_maps import overlay

    folder.mkdir(parents=True)
    maps.image.save(folder / PICTURE)
    shown = {PLACEHOLDER_MAP: maps.placeholder, CATEGORY_MAP: maps.super_category, WORD_MAP: maps.word}
    for name, attention in shown.items():
        if attention is not None:
            overlay(maps.image, attention).save(folder / name)


maps = stage_task("maps", make_maps)

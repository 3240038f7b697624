"""Where words look after each stage of a training: for comparisons, which show it method by method."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from model.drawing.sampling_options import Sampling
from tasks.execution.caching import TASK, Bench, Metrics, keep
from tasks.jobs.keys import StagePlan
from tasks.store.artefacts import CATEGORY_MAP, PICTURE, PLACEHOLDER_MAP, STAGES, WEIGHTS, WORD_MAP

if TYPE_CHECKING:
    from model.drawing.attention_maps import AttentionMaps


@task(name="maps", task_run_name="{plan.stage}", **TASK)
def draw_maps(plan: StagePlan, bench: Bench) -> dict[str, Any]:
    """Draw the maps, or take them from the store."""
    return keep(bench, plan, lambda folder: write_maps(plan, bench, folder))


def write_maps(plan: StagePlan, bench: Bench, folder: Path) -> Metrics:
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
        seed=plan.seed, guidance_scale=facts["guidance_scale"], num_inference_steps=facts["num_inference_steps"]
    )
    autocast, base = plan.numeric_policy["autocast"], open_base(bench.job)
    with bench.progress(plan, len(plan.reads) * len(facts["prompts"]), "maps") as advance:
        done = 0
        for stage in plan.reads:
            training = bench.manifests[stage]
            weights = ConceptWeights.load(bench.store.file(training, WEIGHTS))
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

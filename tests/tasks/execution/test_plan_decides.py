"""What a stage does is what its key was made from, and nothing beside it."""

import dataclasses
import importlib.metadata
import json
from pathlib import Path

import pytest

import tasks.jobs.keys
import tasks.stages.prepare
from model.bases.prompt import ConceptPrompt
from model.weights.concept import ConceptWeights
from tasks.execution.reporting import Silence
from tasks.execution.stage_context import StageContext
from tasks.jobs.jobs import Job, plan_jobs
from tasks.stages.prepare import make_prepared_images
from tests.made_stages import MadeStages
from tests.training_project import PROMPTS, write_params

ORDER = ("prepare", "train-1-embedding", "train-2-cross_attention", "train-3-unet", "evaluate", "gallery")


def keys(project) -> dict[str, str]:
    (job,) = plan_jobs(project, ["turtle"])
    return {plan.stage: plan.key for plan in job.stages}


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [stage for stage in ORDER if before[stage] != after[stage]]


def test_how_many_pictures_are_drawn_side_by_side_is_in_the_key_of_what_draws(project):
    before = keys(project)
    write_params(project.root, sampling={"batch_size": 3})
    assert changed(before, keys(project)) == ["evaluate", "gallery"]


def test_the_library_that_reads_prompts_is_in_the_keys_of_what_reads_them(project, monkeypatch):
    before = keys(project)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "9." + real(name) if name == "tokenizers" else real(name),
    )
    assert changed(before, keys(project)) == list(ORDER[1:])


@pytest.fixture
def misled(project) -> Job:
    """A job whose recipe says otherwise than the plans of its stages."""
    (job,) = plan_jobs(project, ["turtle"])
    params = job.recipe.params.model_copy(
        update={"seed": 99, "sampling": job.recipe.params.sampling.model_copy(update={"num_inference_steps": 9})}
    )
    other = ConceptPrompt("<other>", "teapot", "a drawing of a {}")
    recipe = dataclasses.replace(job.recipe, prompt=other, params=params, prompts=("a {}",) * 5)
    return dataclasses.replace(job, recipe=recipe)


def test_a_stage_follows_its_plan_and_not_what_else_the_job_says(misled):
    made = MadeStages(misled)
    prepare, first, *_, evaluate, _ = misled.stages
    made.make(prepare)
    made.make(first)
    weights = ConceptWeights.load(made.store.file(made.manifests[first.stage], "concept.safetensors"))
    assert weights.prompt == ConceptPrompt("<turtle>", "turtle")
    after_one_stage = dataclasses.replace(evaluate, reads={plan.stage: plan.key for plan in (prepare, first)})
    made.make(after_one_stage)
    evaluation = made.manifests["evaluate"]
    scores = json.loads(made.store.file(evaluation, "scores.json").read_text())
    assert [row["prompt"] for row in scores["prompts"]] == [prompt.replace("{}", "turtle") for prompt in PROMPTS]
    assert scores["evaluator"] == dict(evaluate.models["evaluator"])


def test_prepared_images_come_in_the_order_of_their_names(project, monkeypatch, tmp_path: Path):
    (job,) = plan_jobs(project, ["turtle"])
    real = tasks.stages.prepare.local_images
    monkeypatch.setattr(tasks.stages.prepare, "local_images", lambda *asked: dict(reversed(real(*asked).items())))
    make_prepared_images(job.stages[0], StageContext(job, Silence()), {}, tmp_path)
    origins = json.loads((tmp_path / "images.json").read_text())
    assert [origin["made_from"] for origin in origins] == [f"{number:02}.png" for number in range(5)]

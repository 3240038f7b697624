"""The table of the kinds of stages: every reader of it finds what it needs for each row."""

import pytest
from prefect import Task

from flows.training.stage_runs import task_of
from tasks.jobs.jobs import plan_jobs
from tasks.jobs.keys import find_workings, plan_maps
from tasks.jobs.kinds import KINDS, chain_order, in_lineage, kind_name, stage_words
from tests.training_project import write_params


def test_each_kind_has_a_prefect_task_of_its_name_and_workings():
    workings = find_workings()
    assert workings.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        task = task_of(name)
        assert isinstance(task, Task) and task.name == name and task.cache_key_fn is not None
        assert f"{kind.module.replace('.', '/')}.py" in workings[name].code
        assert list(workings[name].packages) == [*kind.packages, *kind.lora_packages]
    assert len({task_of(name).task_key for name in KINDS}) == len(KINDS), "Prefect tells them apart"


def test_every_stage_that_is_planned_is_of_a_kind_of_the_table(project):
    write_params(project.root, method="dreambooth_prior", unet={"prior_weight": 1.0, "class_images": 2})
    (job,) = plan_jobs(project, ["turtle"])
    stages = [*job.stages, plan_maps(job.recipe, job.trainings)]
    assert {plan.kind for plan in stages} == KINDS.keys()
    assert sorted((plan.stage for plan in stages), key=chain_order) == [plan.stage for plan in stages]


@pytest.mark.parametrize(
    ("stage", "kind", "words", "of_a_chain"),
    [
        ("train-3-unet", "train", "stage 3", True),
        ("class_images", "class_images", "class images", True),
        ("maps", "maps", "maps", False),
        ("image_set", "image_set", "image set", False),
    ],
)
def test_what_is_said_of_a_stage_by_its_name(stage, kind, words, of_a_chain):
    assert (kind_name(stage), stage_words(stage), in_lineage(stage)) == (kind, words, of_a_chain)

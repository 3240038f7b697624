"""The graph of a training on Prefect's page: an edge for each artefact that a stage reads, made or cached."""

import shutil
from pathlib import Path

import pytest
from prefect.settings import temporary_settings

from flows.training.train_here import train_here
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import Job, plan_jobs
from tasks.store.store import open_store
from tests.prefect_graph import Node, newest_graph
from tests.training_project import write_params


@pytest.fixture
def results(project):
    with temporary_settings({"results.local_storage_path": project.root / "results"}):
        yield


def trained(project, *, verify: bool = False) -> Job:
    (job,) = plan_jobs(project, ["turtle"])
    outcome = train_here(job, Silence(), checked=True, verify=verify)
    assert outcome.error is None, outcome.error
    return job


def planned(job: Job) -> dict[str, tuple[str, ...]]:
    """What each task reads by the plan; who registers reads it all."""
    stages = [plan.stage for plan in job.stages]
    reads = {plan.stage: tuple(sorted(set(plan.reads) & set(stages))) for plan in job.stages}
    return reads | {"register": tuple(sorted(stages))}


def edges(graph: list[Node]) -> dict[str, tuple[str, ...]]:
    return {node.name: node.inputs for node in graph}


def test_a_fresh_run_and_a_cached_one_have_the_graph_of_the_plan(project, prefect_url, results):
    job = trained(project)
    graph = newest_graph(prefect_url, "train-concept", 7)
    assert (
        edges(graph)
        == planned(job)
        == {
            "prepare": (),
            "train-1-embedding": ("prepare",),
            "train-2-cross_attention": ("prepare", "train-1-embedding"),
            "train-3-unet": ("prepare", "train-2-cross_attention"),
            "evaluate": ("prepare", "train-1-embedding", "train-2-cross_attention", "train-3-unet"),
            "gallery": ("evaluate", "prepare"),
            "register": tuple(sorted(plan.stage for plan in job.stages)),
        }
    )
    assert {node.state for node in graph} == {"Completed"}
    trained(project)
    graph = newest_graph(prefect_url, "train-concept", 7)
    assert edges(graph) == planned(job)
    assert {node.state for node in graph} == {"Cached"}


def test_class_images_lead_to_the_stage_that_preserves_the_prior(project, prefect_url, results):
    write_params(project.root, method="dreambooth_prior", unet={"prior_weight": 1.0, "class_images": 2})
    for state in ("Completed", "Cached"):
        job = trained(project)
        graph = newest_graph(prefect_url, "train-concept", 6)
        assert edges(graph) == planned(job) and {node.state for node in graph} == {state}
        assert edges(graph)["train-1-unet"] == ("class_images", "prepare")


def test_what_is_made_again_leads_on_and_what_it_takes_the_place_of_does_not(project, prefect_url, results):
    job = trained(project)
    store = open_store(project)
    first, second = job.trainings[:2]
    path = Path(store.content_address(store.get(first.stage, first.key).files["concept.safetensors"].sha256))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # it is found where the second stage reads it
    shutil.rmtree(Path(store.manifest_address(second.stage, second.key)).parent)
    trained(project)
    graph = newest_graph(prefect_url, "train-concept", 11)
    tried = [(node.name, node.state) for node in graph]
    assert tried[1:7] == [
        ("train-1-embedding", "Cached"),
        ("train-2-cross_attention", "Cached"),
        ("train-2-cross_attention", "Failed"),
        ("train-1-embedding", "Completed"),
        ("train-2-cross_attention", "Cached"),
        ("train-2-cross_attention", "Completed"),
    ]
    assert edges(graph) == planned(job)


def test_where_every_byte_is_read_the_graph_is_the_same(project, prefect_url, results):
    trained(project)
    job = trained(project, verify=True)
    graph = newest_graph(prefect_url, "train-concept", 7)
    assert edges(graph) == planned(job)
    assert {node.name: node.state for node in graph} == dict.fromkeys(edges(graph), "Completed") | {
        "register": "Cached"
    }


def test_prefect_keeps_of_a_stage_which_artefact_it_is_and_nothing_else(project, prefect_url, results):
    trained(project)
    kept = [path for path in (project.root / "results").rglob("*") if path.is_file()]
    assert len(kept) == 7 and max(path.stat().st_size for path in kept) < 2000

"""A training that cannot fit the device's memory is refused before it starts, with what would fit."""

import dataclasses

import pytest

from model.errors import SetupError
from model.runtime import memory
from tasks.execution import memory as memory_check
from tasks.execution.memory import refuse_what_cannot_fit
from tasks.execution.preflight import check_jobs
from tasks.jobs.jobs import plan_jobs
from tests.training_project import write_params


def with_memory(monkeypatch, tmp_path, free: int) -> None:
    """A machine with so many bytes free."""
    told = tmp_path / "meminfo"
    told.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {free // 1024} kB\n")
    monkeypatch.setattr(memory, "_MEMORY", told)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "statm")
    (tmp_path / "statm").write_text("0 0 0")
    monkeypatch.setattr(memory, "_BOUND", tmp_path / "no-bound")
    monkeypatch.setattr(memory_check, "LIBRARIES", 0)


def test_what_cannot_fit_is_refused_before_the_base_is_loaded(project, monkeypatch, tmp_path):
    write_params(project.root, method="dreambooth")
    (job,) = plan_jobs(project, ["turtle"])
    with_memory(monkeypatch, tmp_path, 2**19)
    with pytest.raises(SetupError) as refused:
        check_jobs(project, [job])
    (said,) = refused.value.problems
    assert said.startswith("memory: stage 'unet' needs about ")
    assert "cpu has 0.00 GB" in said and "check_memory = false" in said

    unchecked = dataclasses.replace(job, settings=project.model_copy(update={"check_memory": False}))
    refuse_what_cannot_fit([unchecked], lambda _job: {"unet"})
    refuse_what_cannot_fit([job], lambda _job: set())  # all of it is in the store


def test_what_makes_it_fit_is_named(project, monkeypatch, tmp_path):
    write_params(project.root, method="dreambooth", unet={"batch_size": 64, "augmented_views": 64})
    (job,) = plan_jobs(project, ["turtle"])
    with_memory(monkeypatch, tmp_path, 6 * 10**6)
    with pytest.raises(SetupError, match=r"what fits, in params.yaml: .*(gradient_checkpointing|batch_size)"):
        refuse_what_cannot_fit([job], lambda _job: {"unet"})


def test_nothing_that_fits_is_refused(project, monkeypatch, tmp_path):
    (job,) = plan_jobs(project, ["turtle"])
    with_memory(monkeypatch, tmp_path, 2**26)
    refuse_what_cannot_fit([job], lambda _job: {"embedding", "cross_attention", "unet"})


def test_a_machine_says_what_it_has():
    assert 2**28 < memory.device_memory("cpu") < 2**50
    assert memory.device_memory("mps") is None

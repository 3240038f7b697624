"""What a training that failed leaves behind for those that come after it in the same process: nothing."""

import weakref

import torch

import model.training.train
from flows.training.train_here import train_here
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import plan_jobs


def test_a_training_that_ran_out_of_memory_gives_back_what_it_had(project, prefect_url, monkeypatch):
    held = []

    def run_loop(setup, state, *_):
        held.append(weakref.ref(state))
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model.training.train, "run_loop", run_loop)
    (job,) = plan_jobs(project, ["turtle"])
    outcome = train_here(job, Silence(), checked=True)
    assert "not enough memory on cpu" in outcome.error and outcome.fault == "concept"
    assert [state() for state in held] == [None]

"""How a stage comes into the store: once, whole, and without losing finished work."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from prefect import flow
from prefect.settings import temporary_settings

from model.errors import WorkFailed
from tasks.execution.caching import keep
from tasks.execution.reporting import Silence
from tasks.execution.stage_context import StageContext
from tasks.execution.stage_task import TASK, stage_task
from tasks.execution.work_folders import FINISHED, kept_folder, lock_of, sweep_work_folders, work_folder
from tasks.jobs.jobs import Job, plan_jobs
from tasks.jobs.keys import StagePlan
from tasks.store.blobs import StoreFailed


class Listener(Silence):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def job(project) -> Job:
    return plan_jobs(project, ["turtle"])[0]


@pytest.fixture
def context(job) -> StageContext:
    context = StageContext(job, Listener())
    context.store.probe()
    return context


@pytest.fixture
def plan(job) -> StagePlan:
    return job.stages[0]


class Work:
    """Work that counts how often it is done, and harms something while it runs."""

    def __init__(self, harm=lambda: None) -> None:
        self.times = 0
        self._harm = harm

    def __call__(self, _plan, _context, _inputs, folder: Path) -> dict[str, float]:
        self.times += 1
        (folder / "result").write_text("done")
        self._harm()
        return {"images": 5}


def in_work(context: StageContext) -> list[str]:
    return sorted(path.name for path in (context.job.settings.home / "work").iterdir())


def test_work_is_done_once_and_leaves_only_the_artefact(context, plan):
    work = Work()
    first, again = keep(plan, context, [], work), keep(plan, context, [], work)
    assert work.times == 1 and (first["made"], again["made"]) == (True, False)
    manifest = context.store.get(plan.stage, plan.key)
    assert list(manifest.files) == ["result"] and manifest.metrics == {"images": 5} and manifest.wall_seconds >= 0
    assert first["digest"] == again["digest"] == manifest.digest()
    assert in_work(context) == []
    json.dumps(first)


def test_work_that_fails_leaves_nothing_and_its_error_as_it_is(context, plan):
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        keep(plan, context, [], Work(fails))
    assert context.store.find(plan.stage, plan.key) is None
    assert not work_folder(context.job.settings, plan).exists()


def test_finished_work_that_could_not_be_published_is_not_done_again(context, plan):
    contents = Path(context.store.address) / "cas"
    work = Work(lambda: contents.write_text("a file where a folder should be"))
    with pytest.raises(StoreFailed) as caught:
        keep(plan, context, [], work)
    assert context.store.address in str(caught.value)
    contents.unlink()
    sweep_work_folders(context.job.settings, [])
    assert keep(plan, context, [], work)["made"] and work.times == 1
    assert in_work(context) == []


def test_half_done_work_of_a_killed_process_is_not_published(context, plan):
    folder = work_folder(context.job.settings, plan)
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "half").write_text("hal")
    keep(plan, context, [], Work())
    assert list(context.store.get(plan.stage, plan.key).files) == ["result"]


def test_a_sweep_takes_unfinished_work_that_nobody_is_at(context, job):
    dead, finished, alive = (work_folder(job.settings, plan) for plan in job.stages[:3])
    for folder in (dead, finished, alive):
        (folder / "files").mkdir(parents=True)
    (finished / FINISHED).write_text("{}")
    lock_of(dead).with_name("gone.lock").touch()
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, lock_of(alive)], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        sweep_work_folders(job.settings, job.stages)
        assert in_work(context) == sorted([finished.name, alive.name, lock_of(alive).name])
        holder.kill()  # the lock goes with its holder, in whatever way that ends
        holder.wait()
    sweep_work_folders(job.settings, job.stages)
    assert in_work(context) == [finished.name]


def test_a_sweep_keeps_what_a_plan_can_go_on_from_and_of_others_a_week_and_so_many_bytes(context, job, monkeypatch):
    def begun(name: str, days: float, holds: str = "kept/step-00000001/tensors") -> str:
        file = job.settings.home / "work" / name / holds
        file.parent.mkdir(parents=True)
        file.write_bytes(b"0" * 100_000)
        for path in (file, *list(file.parents)[: holds.count("/") + 1]):
            os.utime(path, (time.time() - 86400 * days,) * 2)
        return name

    wanted = begun(work_folder(job.settings, job.trainings[0]).name, days=300)
    others = [begun(f"train-3-unet-{number:016}", days=number / 2) for number in range(1, 10)]
    finished = [begun(f"prepare-{number:016}", days=number / 2, holds=FINISHED) for number in range(1, 14)]
    for holds in ("kept/step-00000001/tensors", FINISHED):
        begun(f"train-2-cross_attention-{holds[:4]}", days=8, holds=holds)
    sweep_work_folders(job.settings, job.stages)  # a night of many concepts, of which a worker is asked for one
    assert in_work(context) == sorted([wanted, *others, *finished])
    monkeypatch.setattr("tasks.execution.work_folders._MOST_KEPT_BYTES", 350_000)
    sweep_work_folders(job.settings, job.stages)
    assert in_work(context) == sorted([wanted, *others[:4], *finished])


def test_what_a_stage_has_kept_outlives_its_failure_and_not_its_success(context, plan):
    kept = kept_folder(context.job.settings, plan)

    def stop() -> None:
        kept.mkdir()
        (kept / "half").write_text("of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(plan, context, [], Work(stop))
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    assert keep(plan, context, [], Work(lambda: (kept / "half").read_text()))["made"]
    assert in_work(context) == []


def test_what_a_process_left_that_was_killed_after_publishing_is_removed(context, plan):
    keep(plan, context, [], Work())
    folder = work_folder(context.job.settings, plan)
    (folder / "files").mkdir(parents=True)
    (folder / FINISHED).write_text("{}")
    assert not keep(plan, context, [], Work())["made"]
    assert in_work(context) == []


def _keeps(job: Job, plan: StagePlan, tally: Path, results) -> None:
    listener = Listener()

    def work(plan, context, inputs, folder: Path) -> dict[str, float]:
        with tally.open("a") as file:
            file.write("x")
        time.sleep(1)
        return Work()(plan, context, inputs, folder)

    receipt = keep(plan, StageContext(job, listener), [], work)
    results.put((receipt["made"], len(listener.warnings)))


def test_of_two_processes_one_works_and_the_other_waits_for_it(context, job, plan, tmp_path):
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    processes = [fork.Process(target=_keeps, args=(job, plan, tmp_path / "tally", results)) for _ in range(2)]
    for process in processes:
        process.start()
    seen = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert (tmp_path / "tally").read_text() == "x"
    assert [made for made, _ in seen] == [False, True]
    assert sum(warnings for _, warnings in seen) <= 1


def run_in_flow(context: StageContext, plan: StagePlan, work: Work, results: Path, **options):
    """The receipt of a task with the options of all stages."""

    stage = stage_task("prepare", work).with_options(**options)

    @flow(persist_result=False)
    def run() -> dict:
        return stage(plan, context, [])

    with temporary_settings({"results.local_storage_path": results}):
        return run()


def test_a_store_that_comes_back_is_tried_again_without_working_twice(context, plan, prefect_url, tmp_path):
    contents = Path(context.store.address) / "cas"

    def outage() -> None:
        contents.symlink_to(contents)  # "too many levels of symbolic links", for a second
        threading.Timer(1.0, contents.unlink).start()

    work = Work(outage)
    receipt = run_in_flow(context, plan, work, tmp_path / "results", retry_delay_seconds=[1.5] * 3)
    assert receipt["made"] and work.times == 1


def test_a_store_that_stays_away_fails_the_stage_and_the_next_command_publishes_it(
    context, plan, prefect_url, tmp_path
):
    contents = Path(context.store.address) / "cas"
    work = Work(lambda: contents.symlink_to(contents))
    with pytest.raises(StoreFailed):
        run_in_flow(context, plan, work, tmp_path / "results", retries=2, retry_delay_seconds=[0.1] * 3)
    contents.unlink()
    sweep_work_folders(context.job.settings, context.job.stages)  # as every command does first
    assert run_in_flow(context, plan, work, tmp_path / "results")["made"] and work.times == 1
    assert context.store.find_checked(plan.stage, plan.key) and in_work(context) == []


def test_a_failure_of_the_code_is_not_tried_again(context, plan, prefect_url, tmp_path):
    def fails() -> None:
        raise WorkFailed("the loss is no longer a number")

    work = Work(fails)
    with pytest.raises(WorkFailed, match="no longer a number"):
        run_in_flow(context, plan, work, tmp_path / "results", retry_delay_seconds=[0.1] * 3)
    assert work.times == 1


def test_waits_between_tries_grow():
    assert [round(seconds) for seconds in TASK["retry_delay_seconds"](TASK["retries"])] == [2, 4, 8]


def test_the_project_is_named_in_manifests_only_by_its_commit(context, plan):
    keep(plan, context, [], Work())
    text = Path(context.store.manifest_address(plan.stage, plan.key)).read_text()
    assert str(context.job.settings.root) not in text and os.uname().nodename not in text

"""Two machines with one store: each key is made once, whoever makes it, wherever the images are."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from tasks.dvc.folder_hash import folder_digest, folder_files
from tasks.execution.caching import keep
from tasks.execution.reporting import Silence
from tasks.execution.stage_context import StageContext
from tasks.files.s3_url import S3Url
from tasks.jobs.jobs import Job, plan_jobs
from tasks.project.settings import Settings
from tasks.store.s3 import s3_client
from tests.tasks.stages.test_stages import nothing_made
from tests.tasks.store_locations import QUICK


class Listener(Silence):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(params=["folder", "s3"])
def shared(request, tmp_path) -> str:
    """The address of a store that all machines reach."""
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('s3_bucket')}/store"
    return str(tmp_path / "shared")


def machine(project: Settings, name: str, store: str) -> Settings:
    """A copy of the project in a folder of its own, with a home of its own."""
    root = project.root.parent / name
    shutil.copytree(project.root, root)
    return Settings(root=root, store=store)


def _makes(job: Job, tally: Path, seconds: float, results) -> None:
    def work(_plan, _context, _inputs, folder: Path) -> dict[str, float]:
        with tally.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        (folder / "result").write_text("done")
        return {}

    listener = Listener()
    receipt = keep(job.stages[0], StageContext(job, listener), [], work)
    results.put((receipt["made"], listener.warnings))


@pytest.fixture
def jobs(project, shared) -> list[Job]:
    """The same job on two machines."""
    both = [plan_jobs(machine(project, name, shared), ["turtle"])[0] for name in ("one", "other")]
    assert [plan.key for plan in both[0].stages] == [plan.key for plan in both[1].stages]
    StageContext(both[0], Silence()).store.probe()
    return both


def test_a_bit_that_flipped_is_found_and_mended_where_the_stage_is_in_doubt(jobs):
    one, other = jobs
    plan = one.stages[0]

    def work(_plan, _context, _inputs, folder: Path) -> dict[str, float]:
        (folder / "weights").write_text("W" * 100)
        return {}

    keep(plan, StageContext(one, Listener()), [], work)
    context = StageContext(other, Listener())
    sha256 = context.store.get(plan.stage, plan.key).files["weights"].sha256
    flipped, address = b"V" + b"W" * 99, context.store.content_address(sha256)
    if address.startswith("s3://"):  # also what S3 says of it is as it was
        url = S3Url.parse(address)
        s3_client().put_object(Bucket=url.bucket, Key=url.prefix, Body=flipped, Metadata={"sha256": sha256})
        assert not keep(plan, context, [], work)["made"], "reading everything every time would cost transfers"
    else:
        Path(address).chmod(0o644)
        Path(address).write_bytes(flipped)
    assert keep(plan, context, [], work, thorough=True)["made"]
    assert "damaged in the store" in context.reporter.warnings[-1]
    assert context.store.find(plan.stage, plan.key, rehash=True) is not None
    assert not keep(plan, context, [], work, thorough=True)["made"]


def started(jobs: list[Job], tally: Path, seconds: float):
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    processes = [fork.Process(target=_makes, args=(job, tally, seconds, results)) for job in jobs]
    for process in processes:
        process.start()
    return processes, results


def test_of_two_machines_that_want_one_key_one_works_and_the_other_waits(jobs, tmp_path):
    processes, results = started(jobs, tmp_path / "tally", seconds=2)
    seen = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert len((tmp_path / "tally").read_text().splitlines()) == 1
    assert [made for made, _ in seen] == [False, True]
    (warnings,) = (warnings for made, warnings in seen if not made)
    assert "is being made by another process: waiting for it" in warnings[0]


def test_the_second_takes_over_from_a_first_that_was_killed(jobs, tmp_path):
    tally = tmp_path / "tally"
    processes, results = started(jobs, tally, seconds=3)
    while not tally.exists() or not tally.read_text():
        time.sleep(0.05)
    first = int(tally.read_text())
    os.kill(first, signal.SIGKILL)
    assert results.get(timeout=60)[0] is True
    for process in processes:
        process.join()
    assert len(tally.read_text().splitlines()) == 2


def without_images(settings: Settings, remote: Path) -> Settings:
    """The project as a worker has it: DVC's record and remote instead of the images."""
    folder = settings.concepts_dir / "turtle"
    files = folder_files(folder / "images")
    digest = folder_digest(files)
    listing = json.dumps([{"md5": file.md5, "relpath": file.relpath} for file in files], sort_keys=True)
    for md5, content in [(digest, listing.encode())] + [
        (file.md5, (folder / "images" / file.relpath).read_bytes()) for file in files
    ]:
        path = remote / "files" / "md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "images.dvc").write_text(yaml.safe_dump({"outs": [{"md5": digest, "path": "images"}]}))
    (settings.root / ".dvc").mkdir()
    (settings.root / ".dvc/config").write_text(f"[core]\nremote = far\n['remote \"far\"']\nurl = {remote}\n")
    shutil.rmtree(folder / "images")
    return settings


def test_machines_share_what_they_made_with_and_without_images(project, shared, tmp_path):
    owner = machine(project, "owner", shared)
    worker = without_images(machine(project, "worker", shared), tmp_path / "remote")
    far, near = nothing_made(worker), nothing_made(owner)
    assert [receipt["made"] for receipt in far.run("prepare", "train-1-embedding")] == [True, True]
    receipts = near.run("prepare", "train-1-embedding", "train-2-cross_attention")
    assert [receipt["made"] for receipt in receipts] == [False, False, True]
    (receipt,) = far.run("train-2-cross_attention")
    assert not receipt["made"] and receipt["digest"] == receipts[-1]["digest"]
    assert far.manifests["prepare"] == near.manifests["prepare"]
    assert not (worker.concepts_dir / "turtle" / "images").exists()


def test_who_has_lost_its_hold_says_so_and_adopts_what_was_published_first(project, s3_bucket, monkeypatch):
    monkeypatch.setattr("tasks.store.s3_blobs.LeaseTimes", lambda: QUICK)
    one, other = (
        plan_jobs(machine(project, name, f"s3://{s3_bucket}/store"), ["turtle"])[0] for name in ("one", "other")
    )
    plan, listener = one.stages[0], Listener()
    locks = f"store/locks/{plan.stage}-{plan.key}"

    def made_elsewhere(_plan, _context, _inputs, folder: Path) -> dict[str, float]:
        (folder / "result").write_text("by the other machine")
        return {}

    def work(_plan, _context, _inputs, folder: Path) -> dict[str, float]:
        s3_client().delete_object(Bucket=s3_bucket, Key=locks)  # as if it had been silent, and taken over
        assert keep(plan, StageContext(other, Silence()), [], made_elsewhere)["made"]
        time.sleep(2 * QUICK.renew)
        (folder / "result").write_text("by this one")
        return {}

    context = StageContext(one, listener)
    receipt = keep(plan, context, [], work)
    assert receipt["digest"] == context.store.get(plan.stage, plan.key).digest()
    assert context.store.file(context.store.get(plan.stage, plan.key), "result").read_text() == "by the other machine"
    assert any("another may have made it too" in warning for warning in listener.warnings)

"""Trains a project again and again in forked processes that are killed (-9), and tells what came of it as JSON.

Run as `python -m tests.tasks.kill_driver ROOT KILLS SEED`. Libraries and models are loaded once; every process
then does all stages by `tasks.execution.caching.keep`, in a `home` of its trial. It is killed at a random time, or
before, after or in the middle of a random one of its file operations; what it was writing is then cut off somewhere.
"""

import dataclasses
import functools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.execution.loaded_base import open_base
from tasks.execution.loaded_evaluator import open_evaluator
from tasks.execution.preflight import check_jobs
from tasks.execution.reporting import Silence
from tasks.jobs.jobs import Job, plan_jobs
from tasks.project.settings import Settings
from tasks.store.store import open_store
from tests.made_stages import MadeStages

OPERATIONS = ("replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync")
_MOST_KILLS = 5


class Diary(Silence):
    """Writes down the step or picture at which each piece of work begins, and every warning."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._title = ""

    def begin(self, title: str, total: int, unit: str) -> None:
        self._title = title

    def advance(self, done: int, note: str = "") -> None:
        if self._title:
            self._write("begin", self._title, done)
            self._title = ""

    def warn(self, message: str) -> None:
        self._write("warning", message)

    def _write(self, *words: Any) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(words) + "\n")


class Operations:
    """Counts what the process does to files, and kills it at operation number `fatal`."""

    def __init__(self, fatal: int | None, rng: random.Random) -> None:
        self.count = 0
        self._fatal = fatal
        self._rng = rng
        for name in OPERATIONS:
            self._watch(os, name)
        self._watch(Path, "write_text", self._half_written)
        self._watch(Path, "write_bytes", self._half_written)
        self._watch(shutil, "copyfile", lambda real, source, target: self._half_written(Path.write_bytes, target, b"?"))

    def _watch(self, owner: Any, name: str, torn: Callable[..., None] | None = None) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def watched(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count != self._fatal:
                return real(*arguments, **options)
            if self._rng.random() < 0.5:
                if torn:
                    torn(real, *arguments, **options)
                elif name == "fsync":
                    self._tear(arguments[0])
                else:
                    real(*arguments, **options)
            return os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, watched)

    def _half_written(self, real: Callable[..., Any], path: Path, content: Any, *_: Any, **options: Any) -> None:
        real(path, content[: self._rng.randrange(len(content) + 1)], **options)

    def _tear(self, handle: int) -> None:
        """What had not reached the disk when the power failed."""
        path = Path(f"/proc/self/fd/{handle}").resolve()
        if path.is_file() and os.access(path, os.W_OK):
            os.truncate(path, self._rng.randrange(path.stat().st_size + 1))


def train(job: Job, diary: Path) -> None:
    """What a command does for one concept, up to the registration."""
    open_store(job.settings).probe()
    check_jobs(job.settings, [job])
    MadeStages(job, Diary(diary)).run()


def start(job: Job, *, seed: int = 0, fatal: int | None = None, tally: Path | None = None) -> int:
    """Fork a process that trains; its process id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        operations = Operations(fatal, random.Random(seed))
        train(job, job.settings.home / "diary")
        if tally:
            tally.write_text(str(operations.count))
        code = 0
    finally:
        os._exit(code)


def ended(pid: int) -> str:
    """ "done", "killed" or "failed"."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {0: "done", -signal.SIGKILL: "killed"}.get(code, "failed")


def in_home(job: Job, name: str) -> Job:
    """The same job with a store and a work folder of its own."""
    root = job.settings.root
    settings = Settings(root=root, home=root / name, checkpoint_every=job.settings.checkpoint_every)
    settings.home.mkdir()
    return dataclasses.replace(job, settings=settings)


def digests(job: Job) -> dict[str, str]:
    """What the store has of each stage."""
    store = open_store(job.settings)
    return {plan.stage: store.get(plan.stage, plan.key).digest() for plan in job.stages}


def files(job: Job) -> list[str]:
    """All that lies in the home of the job, but the diary."""
    home = job.settings.home
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path != home / "diary")


def diary(job: Job) -> list[list[Any]]:
    """What the processes wrote down."""
    file = job.settings.home / "diary"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(root: str, kills: str, seed: str) -> None:
    """Train once undisturbed, then in fresh homes, each with up to five kills, until there were `kills`."""
    rng = random.Random(int(seed))
    settings = Settings(root=Path(root), checkpoint_every="2 steps")
    (job,) = plan_jobs(settings, ["turtle"])
    open_base(job.recipe.base, job.settings.device), open_evaluator(job.recipe.evaluator, job.settings.device)
    reference = in_home(job, "undisturbed")
    tally, began = Path(root) / "tally", time.monotonic()
    assert ended(start(reference, tally=tally)) == "done"
    seconds, operations = time.monotonic() - began, int(tally.read_text())
    trials: list[dict[str, Any]] = []
    while sum(trial["outcomes"].count("killed") for trial in trials) < int(kills):
        disturbed = in_home(job, f"trial-{len(trials)}")
        outcomes = []
        for kill in range(_MOST_KILLS):
            if (len(trials) + kill) % 3 == 0:
                pid = start(disturbed)
                time.sleep(rng.uniform(0, seconds / 2))
                os.kill(pid, signal.SIGKILL)
            else:
                pid = start(disturbed, seed=rng.randrange(2**32), fatal=rng.randint(1, operations // 2))
            outcomes.append(ended(pid))
            if outcomes[-1] != "killed":
                break
        outcomes.append(ended(start(disturbed)))
        trials.append(
            {"outcomes": outcomes, "digests": digests(disturbed), "files": files(disturbed), "diary": diary(disturbed)}
        )
    json.dump({"digests": digests(reference), "files": files(reference), "trials": trials}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Killed at any moment and run again, a training comes to the digests of an undisturbed one, and leaves no litter."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training_project import write_params

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(900)  # many processes, one after the other
def test_kills_at_random_moments_change_nothing(project):
    stages = {stage: {"max_train_steps": 7} for stage in ("embedding", "cross_attention", "unet")}
    write_params(project.root, **stages, evaluation={"images_per_prompt": 1})
    seed = random.SystemRandom().randrange(10**6)
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.kill_driver", project.root, "20", str(seed)],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    begun = []
    for trial in report["trials"]:
        said = f"seed {seed}: {trial['outcomes']}"
        assert trial["outcomes"][-1] == "done" and "failed" not in trial["outcomes"], said + done.stderr
        assert trial["digests"] == report["digests"], said
        assert trial["files"] == report["files"], said
        assert not [words for kind, *words in trial["diary"] if kind == "warning"], said
        begun += [step for kind, title, step in trial["diary"] if kind == "begin" and "train" in title]
    assert max(begun) > 1, "trainings went on where they were"

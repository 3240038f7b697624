"""Several processes share every step of a training, and come to what one comes to."""

import errno
import json

import psutil
import pytest
import torch

from model.errors import InputError, SetupError, WorkFailed
from model.training.checkpoint import Checkpoints
from model.training.checkpoint_interval import CheckpointInterval
from model.training.process_group import ProcessGroup
from model.training.several_processes import Processes, _failure, train_jointly
from model.training.train import train_stage


@pytest.fixture(scope="module")
def previous(base, images, prompt, make_stage):
    return train_stage(
        base=base, stage=make_stage("embedding"), images=images, prompt=prompt, previous=None, seed=0
    ).weights


@pytest.fixture
def jointly(tmp_path, base_folders, images, prompt, previous):
    """A stage by two processes on the CPU."""

    def run(stage, **options):
        two = Processes(count=2, base=str(base_folders["sd2"]), base_revision=None, device="cpu")
        settings = {"images": images, "prompt": prompt, "previous": previous, "seed": 0} | options
        return train_jointly(two, folder=tmp_path / "joint", stage=stage, **settings)

    return run


def at_work(folder) -> list[psutil.Process]:
    def command(process: psutil.Process) -> list[str]:
        try:
            return process.cmdline()
        except psutil.NoSuchProcess:  # it has ended, and nobody has waited for it yet
            return []

    return [
        process for process in psutil.Process().children(recursive=True) if str(folder / "joint") in command(process)
    ]


def test_two_processes_come_to_what_one_comes_to_also_after_a_stop(
    base, images, prompt, previous, make_stage, jointly, tmp_path
):
    stage = make_stage("unet", max_train_steps=6, batch_size=4, prior_weight=0.5, class_images=2)
    drawn = [image.resize((16, 16)) for image in images[:2]]
    alone = train_stage(
        base=base, stage=stage, images=images, class_images=drawn, prompt=prompt, previous=previous, seed=0
    )
    kept, steps = tmp_path / "kept", []

    def stop(step):
        assert len(at_work(tmp_path)) == 3  # the two, and the one that started them
        steps.append(step.step)
        if step.step == 3:
            raise KeyboardInterrupt

    def checkpoints():
        return Checkpoints(kept, identity="this one", every=CheckpointInterval.parse("2 steps"), warn=pytest.fail)

    with pytest.raises(KeyboardInterrupt):
        jointly(stage, class_images=drawn, on_step=stop, checkpoints=checkpoints())
    assert at_work(tmp_path) == [] and not (tmp_path / "joint").exists()
    first_part = list(steps)
    together = jointly(
        stage, class_images=drawn, on_step=lambda step: steps.append(step.step), checkpoints=checkpoints()
    )

    assert first_part == [1, 2, 3] and steps[3] in (3, 5) and steps[-1] == 6  # the killed one may have been ahead
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000002", "step-00000004"]
    assert together.weights.unet.keys() == alone.weights.unet.keys()
    for name, tensor in alone.weights.unet.items():
        torch.testing.assert_close(together.weights.unet[name], tensor, rtol=0, atol=1e-5)
    for one, other in zip(together.curve, alone.curve, strict=True):
        for figure in ("step", "loss", "attention_loss", "prior_loss", "grad_norm"):
            assert getattr(one, figure) == pytest.approx(getattr(other, figure), rel=1e-4), figure


def test_the_process_that_knows_why_is_heard(make_stage, tmp_path):
    stage = make_stage("unet")

    def fail(process, kind, *said, number=None):
        (tmp_path / f"failure-{process}.json").write_text(json.dumps({"kind": kind, "said": said, "errno": number}))
        return _failure(tmp_path, stage)

    (tmp_path / "log.txt").write_text("one\nSegmentation fault\n")
    assert str(_failure(tmp_path, stage)) == "stage 'unet': a process of its training died; Segmentation fault"
    lost = fail(0, "RuntimeError", "connection closed")
    assert isinstance(lost, WorkFailed) and "a process of its training died; RuntimeError: connection closed" in str(
        lost
    )
    known = fail(1, "InputError", "one", "two")
    assert isinstance(known, InputError) and known.problems == ("one", "two")
    assert str(fail(0, "WorkFailed", "loss nan by step 1")) == "loss nan by step 1"
    assert isinstance(fail(1, "SetupError", "no such base"), WorkFailed), "the first one's words come first"
    assert type(fail(0, "SetupError", "no such base")) is SetupError
    fail(0, "BrokenPipeError", "32", "Broken pipe", number=errno.EPIPE)
    full = fail(1, "OSError", "28", "No space left on device", number=errno.ENOSPC)
    assert isinstance(full, OSError) and full.errno == errno.ENOSPC


def test_a_batch_that_cannot_be_shared_evenly_is_refused(base, images, prompt, make_stage):
    three = ProcessGroup()
    three.size = 3
    with pytest.raises(InputError, match=r"embedding\.batch_size = 2: 3 processes share each step, so a multiple of 3"):
        train_stage(
            base=base, stage=make_stage("embedding"), images=images, prompt=prompt, previous=None, seed=0, group=three
        )

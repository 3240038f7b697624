"""A training that is stopped goes on from a checkpoint, and comes to the same bits."""

import dataclasses
import json
import os
import resource
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

import model.training.checkpoint_files
from model.errors import WorkFailed
from model.training.checkpoint import Checkpoints
from model.training.checkpoint_interval import CheckpointInterval
from model.training.train import train_stage
from model.weights.concept import named_embeddings


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings):
    def make(every: str = "3 steps", identity: str = "this one") -> Checkpoints:
        return Checkpoints(
            tmp_path / "kept", identity=identity, every=CheckpointInterval.parse(every), warn=warnings.append
        )

    return make


@pytest.fixture(scope="module")
def previous(base, images, prompt, make_stage):
    return train_stage(
        base=base, stage=make_stage("embedding"), images=images, prompt=prompt, previous=None, seed=0
    ).weights


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage, previous):
    """A stage of 17 steps; `stop_after` a step it is interrupted."""

    def run(trains="cross_attention", *, stop_after=None, error=KeyboardInterrupt, fields=None, **options):
        steps = []

        def on_step(step):
            steps.append(step.step)
            if step.step == stop_after:
                raise error

        stage = make_stage(trains, max_train_steps=17, **(fields or {}))
        weights = None if trains == "embedding" else options.pop("previous", previous)
        settings = {"images": images, "prompt": prompt, "previous": weights, "seed": 0, "on_step": on_step} | options
        return train_stage(base=base, stage=stage, **settings), steps

    return run


def stopped(train, **options):
    with pytest.raises(options.get("error", KeyboardInterrupt)):
        train(**options)


def figures(trained):
    return [dataclasses.replace(point, samples_per_second=0) for point in trained.curve]


def same(one, other) -> bool:
    left = [trained.weights for trained in (one, other)]
    tensors = [named_embeddings(weights.embeddings) | weights.changed | weights.lora for weights in left]
    equal = tensors[0].keys() == tensors[1].keys() and all(
        torch.equal(tensors[0][n], tensors[1][n]) for n in tensors[0]
    )
    return equal and figures(one) == figures(other)


def places(folder):
    return sorted(path.name for path in (folder / "kept").iterdir())


@pytest.mark.parametrize(
    ("trains", "fields"),
    [
        ("embedding", {}),
        ("cross_attention", {}),
        ("unet", {}),
        ("unet", {"train_text_encoder": True, "lora_rank": 2, "lora_alpha": 2.0}),
    ],
)
def test_a_resumed_training_comes_to_the_same_bits(train, checkpoints, trains, fields):
    whole, _ = train(trains, fields=fields)
    stopped(train, trains=trains, fields=fields, stop_after=8, checkpoints=checkpoints("3 steps"))
    stopped(train, trains=trains, fields=fields, stop_after=13, checkpoints=checkpoints("3 steps"))  # from the first
    resumed, steps = train(trains, fields=fields, checkpoints=checkpoints("3 steps"))
    assert steps == [14, 15, 16, 17]
    assert same(whole, resumed)
    assert [point.step for point in resumed.curve] == [1, 10, 17]


def test_keeping_checkpoints_changes_no_bit_and_none_is_kept_of_the_end(train, checkpoints, tmp_path):
    assert same(train()[0], train(checkpoints=checkpoints("1 step"))[0])
    assert places(tmp_path) == ["step-00000015", "step-00000016"]


def test_a_kill_in_the_middle_of_a_step_goes_on_from_the_checkpoint_before(base, train, checkpoints, monkeypatch):
    """Nothing is written on the way out, as after kill -9, and the generator had gone on since the checkpoint."""
    monkeypatch.setattr(Checkpoints, "parting", lambda *_: False)
    stopped(train, stop_after=8, checkpoints=checkpoints("3 steps"))
    resumed, steps = train(checkpoints=checkpoints("3 steps"))
    assert steps[0] == 7 and same(train()[0], resumed)


def end(how):
    """What stops a training: an exception, or a signal from outside."""
    if isinstance(how, signal.Signals):
        os.kill(os.getpid(), how)
    else:
        raise how


@pytest.mark.parametrize(
    ("place", "how", "goes_on_at"),
    [
        ("forward", KeyboardInterrupt, 9),  # half a step before its update is a state
        ("forward", signal.SIGINT, 9),
        ("update", signal.SIGINT, 10),  # Ctrl-C waits for the end of the update
        ("update", ZeroDivisionError, 6),  # half an update is no state: the checkpoint before
    ],
)
def test_whatever_stops_a_step_anywhere_leaves_a_state_to_go_on_from(
    base, train, checkpoints, monkeypatch, place, how, goes_on_at
):
    calls = 0

    def interrupt(*_):
        nonlocal calls
        calls += 1
        if calls == 9:
            end(how)

    with monkeypatch.context() as patched:
        hook = base.denoiser.register_forward_hook(interrupt if place == "forward" else lambda *_: None)
        if place == "update":
            real = torch.optim.AdamW.step
            patched.setattr(torch.optim.AdamW, "step", lambda *a, **k: (real(*a, **k), interrupt())[0])
        stopped(train, checkpoints=checkpoints("5 steps"), error=(KeyboardInterrupt, ZeroDivisionError))
        hook.remove()
    resumed, steps = train(checkpoints=checkpoints())
    assert steps[0] == goes_on_at
    assert same(train()[0], resumed)


def test_a_second_signal_does_not_cost_the_last_checkpoint(train, checkpoints, monkeypatch):
    """Prefect's worker and a supervisor may both tell a training to end."""

    def impatient(tensors, path):
        os.kill(os.getpid(), signal.SIGINT)
        save_file(tensors, path)

    with monkeypatch.context() as patched:
        patched.setattr(model.training.checkpoint_files, "save_file", impatient)
        stopped(train, stop_after=8, checkpoints=checkpoints("60 seconds"))
    _, steps = train(checkpoints=checkpoints())
    assert steps[0] == 9


def test_without_a_rhythm_nothing_is_written_and_by_the_clock_only_when_it_is_time(train, checkpoints, tmp_path):
    stopped(train, stop_after=5, checkpoints=checkpoints("never"))
    assert not (tmp_path / "kept").exists()
    train(checkpoints=checkpoints("3600 seconds"))
    assert not (tmp_path / "kept").exists()


def test_checkpoints_by_the_clock_come_less_often_where_they_take_long(checkpoints, monkeypatch):
    now = 0.0
    monkeypatch.setattr("model.training.checkpoint.time.monotonic", lambda: now)

    def write(*_):
        nonlocal now
        now += 2.0

    monkeypatch.setattr("model.training.checkpoint.write_checkpoint", write)
    kept = checkpoints("60 seconds")
    assert not kept.due(1)
    now = 60.0
    assert kept.due(2)
    kept.keep(model.training.checkpoint_files.Checkpoint(step=2, identity="", facts={}, tensors={}))
    now += 99.0
    assert not kept.due(3), "two seconds are two per cent of a hundred"
    now += 1.0
    assert kept.due(4)


def test_a_large_model_is_not_written_while_the_machine_waits_for_the_end(checkpoints):
    kept = checkpoints("60 seconds")
    assert kept.parting(5, size=3 * 4 * 50_000_000)
    assert not kept.parting(5, size=3 * 4 * 866_000_000)


DAMAGES = {
    "cut off": lambda place: os.truncate(place / "tensors.safetensors", 100),
    "one bit": lambda place: (place / "tensors.safetensors").write_bytes(
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]))((place / "tensors.safetensors").read_bytes())
    ),
    "no tensors": lambda place: (place / "tensors.safetensors").unlink(),
    "no state": lambda place: (place / "state.json").unlink(),
    "half a state": lambda place: os.truncate(place / "state.json", 30),
    "of another format": lambda place: (place / "state.json").write_text(
        json.dumps(json.loads((place / "state.json").read_text()) | {"format": 99})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_to_the_one_before(train, checkpoints, tmp_path, warnings, damage):
    stopped(train, stop_after=6, error=ZeroDivisionError, checkpoints=checkpoints("2 steps"))
    place = tmp_path / "kept" / "step-00000006"
    DAMAGES[damage](place)
    resumed, steps = train(checkpoints=checkpoints("never"))
    assert steps[0] == 5 and same(train()[0], resumed)
    (said,) = warnings
    assert str(place) in said


def test_what_was_being_written_is_no_checkpoint_and_goes(train, checkpoints, tmp_path, warnings):
    stopped(train, stop_after=4, checkpoints=checkpoints("2 steps"))
    (tmp_path / "kept" / "step-00000004").rename(tmp_path / "kept" / "step-00000004.part")
    _, steps = train(checkpoints=checkpoints("never"))
    assert steps[0] == 3 and warnings == [] and places(tmp_path) == ["step-00000002"]


def test_another_training_s_checkpoint_is_not_taken(train, checkpoints):
    stopped(train, stop_after=4, checkpoints=checkpoints("2 steps", identity="other"))
    assert train(checkpoints=checkpoints("never"))[1][0] == 1


def test_a_full_disk_is_said_once_and_the_training_goes_on(train, checkpoints, warnings, tmp_path, monkeypatch):
    def full(tensors, path):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # bytes: the system refuses to write more
        try:
            save_file(tensors, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(model.training.checkpoint_files, "save_file", full)
    trained, steps = train(checkpoints=checkpoints("2 steps"))
    assert len(steps) == 17 and same(train()[0], trained)
    (said,) = warnings
    assert "too large" in said and str(tmp_path / "kept") in said and "goes on" in said
    assert places(tmp_path) == []


def poison(base, after: int):
    """A hook that makes the loss no number in one step."""
    calls = 0

    def hook(_module, _inputs, output):
        nonlocal calls
        calls += 1
        return type(output)(sample=output.sample * (float("nan") if calls == after else 1))

    return base.denoiser.register_forward_hook(hook)


def test_a_loss_that_is_no_number_is_seen_within_ten_steps_and_no_such_state_is_kept(
    base, train, checkpoints, tmp_path
):
    hook = poison(base, after=13)
    try:
        with pytest.raises(WorkFailed) as caught:
            train(checkpoints=checkpoints("6 steps"))
    finally:
        hook.remove()
    said = str(caught.value)
    assert "stage 'cross_attention': loss nan" in said and "by step 17" in said
    assert f"checkpoint is that of step 12 ({tmp_path / 'kept' / 'step-00000012'})" in said and "learning rate" in said
    assert places(tmp_path) == ["step-00000006", "step-00000012"]
    for place in places(tmp_path):
        for name, tensor in load_file(tmp_path / "kept" / place / "tensors.safetensors").items():
            assert tensor.isfinite().all(), name


def test_a_checkpoint_that_is_due_sees_it_too(base, train, checkpoints, tmp_path):
    hook = poison(base, after=13)
    try:
        with pytest.raises(WorkFailed, match=r"by step 14; .*step 12"):
            train(checkpoints=checkpoints("2 steps"))
    finally:
        hook.remove()
    assert places(tmp_path) == ["step-00000010", "step-00000012"]


def test_out_of_memory_leaves_what_was_learnt(base, train, checkpoints, tmp_path):
    with pytest.raises(WorkFailed, match="batch_size"):
        train(stop_after=5, error=torch.OutOfMemoryError, checkpoints=checkpoints("3 steps"))
    assert places(tmp_path) == ["step-00000003", "step-00000005"]


@pytest.mark.parametrize(
    ("words", "interval"),
    [
        ("60 seconds", CheckpointInterval(seconds=60)),
        ("1 second", CheckpointInterval(seconds=1)),
        ("90s", CheckpointInterval(seconds=90)),
        ("25 Steps", CheckpointInterval(steps=25)),
        ("never", CheckpointInterval()),
    ],
)
def test_intervals_are_read(words, interval):
    assert CheckpointInterval.parse(words) == interval


@pytest.mark.parametrize("words", ["", "60", "0 steps", "-1 seconds", "2 minutes", "1.5 seconds"])
def test_other_words_are_no_rhythm(words):
    with pytest.raises(ValueError, match="60 seconds"):
        CheckpointInterval.parse(words)

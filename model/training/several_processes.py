"""A training whose steps several processes share: accelerate starts them, this process watches and ends them.

They work in a folder: `request.json`, `images/`, `class_images/` and `previous.safetensors` go in,
`trained.safetensors` and `curve.json` come out, or a `failure-<process>.json`; `log.txt` holds what the libraries say.
What happens on the way is told in lines of JSON through a pipe, whose end is theirs too: when the process that watches
is gone, so are they.

    python -m model.training.several_processes FOLDER PIPE
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model.bases.base import load_base
from model.bases.prompt import ConceptPrompt
from model.errors import InputError, SetupError, WorkFailed, WorldFailed
from model.methods.method import Stage
from model.reading.pictures import OURS, open_picture
from model.runtime.device import DeviceType
from model.training.checkpoint import Checkpoints
from model.training.checkpoint_interval import CheckpointInterval
from model.training.curve import CurvePoint, Step
from model.training.process_group import ProcessGroup
from model.training.train import TrainedStage, train_stage
from model.weights.concept import ConceptWeights

_REQUEST, _IMAGES, _CLASS_IMAGES, _PREVIOUS = "request.json", "images", "class_images", "previous.safetensors"
_TRAINED, _CURVE, _FAILURE, _LOG = "trained.safetensors", "curve.json", "failure-{}.json", "log.txt"
_KNOWN = {kind.__name__: kind for kind in (InputError, SetupError, WorkFailed, WorldFailed)}
_LOST_CONTACT = {errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE, errno.ETIMEDOUT}
"""What befalls the others when one of the processes ends."""
_MOMENT = 1.0
"""Seconds that a process which fails leaves to the first one, to say why in its own words."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """How many processes, each with which base on which kind of device."""

    count: int
    base: str
    """Folder or hub id."""
    base_revision: str | None
    device: DeviceType


def train_jointly(
    processes: Processes,
    *,
    folder: Path,
    stage: Stage,
    images: Sequence[Image.Image],
    prompt: ConceptPrompt,
    previous: ConceptWeights | None,
    seed: int,
    class_images: Sequence[Image.Image] = (),
    autocast: str = "none",
    on_step: Callable[[Step], None] = lambda step: None,
    checkpoints: Checkpoints | None = None,
) -> TrainedStage:
    """`model.training.train.train_stage` by several processes on this machine; equal to one process's result but for
    rounding.

    `folder` is theirs alone, emptied before and removed afterwards. They are ended with this call, however it ends; a
    last checkpoint is not taken then.

    Raises InputError and WorkFailed as `train_stage` does, and WorkFailed if a process dies.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for room, pictures in ((_IMAGES, images), (_CLASS_IMAGES, class_images)):
        (folder / room).mkdir(parents=True)
        for number, image in enumerate(pictures):
            image.save(folder / room / f"{number:06}.png")
    if previous:
        previous.save(folder / _PREVIOUS)
    request = {
        "processes": asdict(processes),
        "stage": asdict(stage),
        "prompt": asdict(prompt),
        "seed": seed,
        "autocast": autocast,
        "checkpoints": checkpoints
        and {
            "folder": str(checkpoints.folder),
            "identity": checkpoints.identity,
            "every": asdict(checkpoints.every),
        },
    }
    (folder / _REQUEST).write_text(json.dumps(request), encoding="utf-8")
    try:
        if _watch(folder, processes, on_step, checkpoints.warn if checkpoints else lambda said: None) != 0:
            raise _failure(folder, stage)
        points = json.loads((folder / _CURVE).read_text(encoding="utf-8"))
        curve = tuple(CurvePoint(**point) for point in points)
        return TrainedStage(weights=ConceptWeights.load(folder / _TRAINED), curve=curve)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(folder: Path, processes: Processes, on_step: Callable[[Step], None], warn: Callable[[str], None]) -> int:
    """Start the processes and pass on what they tell; the exit code."""
    project = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([project, os.environ.get("PYTHONPATH", "")])}
    if processes.device == "cpu":
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes.count)))
    reading, writing = os.pipe()
    with (folder / _LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "model.training.several_processes", str(folder), str(writing)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,  # a group of their own, so that all of them can be ended, and Ctrl-C is ours
        )
    try:
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # else it was cut off
                    message = json.loads(line)
                    if "step" in message:
                        on_step(Step(**message["step"]))
                    else:
                        warn(message["warning"])
        return process.wait()
    finally:
        with suppress(ProcessLookupError):  # the usual end: nobody is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(folder: Path, stage: Stage) -> Exception:
    """Why it ended: what the first process says, unless that only suffered from another's failure."""
    failures = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(_FAILURE.format("*")))]
    for failure in failures:
        if failure["kind"] in _KNOWN:
            return _KNOWN[failure["kind"]](*failure["said"])
    for failure in failures:
        if failure["errno"] is not None and failure["errno"] not in _LOST_CONTACT:
            return OSError(failure["errno"], os.strerror(failure["errno"]))
    said = [f"{failure['kind']}: {' '.join(failure['said'])}" for failure in failures]
    last_words = said or (folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return WorkFailed(
        f"stage '{stage.name}': a process of its training died; {' '.join(last_words) or 'it said nothing'}"
    )


def _take_part(folder: Path, pipe: int, request: Mapping[str, Any]) -> None:
    """One of the processes, from its start to its end."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=request["processes"]["device"] == "cpu")
    group = ProcessGroup(accelerator)
    try:
        _train(folder, pipe, request, group, accelerator)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) else None
        failure = {"kind": type(error).__name__, "said": [str(part) for part in error.args], "errno": number}
        (folder / _FAILURE.format(group.rank)).write_text(json.dumps(failure), encoding="utf-8")
        if group.rank > 0:
            time.sleep(_MOMENT)
        raise
    accelerator.end_training()


def _train(folder: Path, pipe: int, request: Mapping[str, Any], group: ProcessGroup, accelerator: Any) -> None:
    def tell(**what: Any) -> None:
        os.write(pipe, (json.dumps(what) + "\n").encode())

    def pictures(room: str) -> list[Image.Image]:
        return [open_picture(path, OURS) for path in sorted((folder / room).iterdir())]

    first = group.rank == 0
    processes, kept, previous = Processes(**request["processes"]), request["checkpoints"], folder / _PREVIOUS
    trained = train_stage(
        base=load_base(processes.base, processes.base_revision, device=accelerator.device),
        stage=Stage(**request["stage"]),
        images=pictures(_IMAGES),
        class_images=pictures(_CLASS_IMAGES),
        prompt=ConceptPrompt(**request["prompt"]),
        previous=ConceptWeights.load(previous) if previous.exists() else None,
        seed=request["seed"],
        autocast=request["autocast"],
        on_step=(lambda step: tell(step=asdict(step))) if first else (lambda step: None),
        checkpoints=kept
        and Checkpoints(
            Path(kept["folder"]),
            identity=kept["identity"],
            every=CheckpointInterval(**kept["every"])
            if first
            else CheckpointInterval(),  # all read checkpoints, one writes them
            warn=(lambda said: tell(warning=said)) if first else (lambda said: None),
        ),
        group=group,
    )
    if first:
        trained.weights.save(folder / _TRAINED)
        (folder / _CURVE).write_text(json.dumps([asdict(point) for point in trained.curve]), encoding="utf-8")


def _start(folder: Path, pipe: int) -> None:
    from accelerate import notebook_launcher

    request = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    notebook_launcher(
        _take_part,
        (folder, pipe, request),
        num_processes=request["processes"]["count"],
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
    )


if __name__ == "__main__":
    _start(Path(sys.argv[1]), int(sys.argv[2]))

"""The memory of each training stage, predicted and measured: `python -m benchmarks.memory`.

Each stage runs a few steps in a process of its own, from weights as the stages before leave them, on the embedded base
and on one in the shape of Stable Diffusion with random weights (`benchmarks.bases.sd_shaped`). On a CPU the highest
resident memory of that process is measured, and what it had before the base was loaded is taken for Python and its
libraries; on a GPU the highest of torch's allocations. What is predicted is told from shapes alone, before
(`model.training.footprint`). Few pictures are encoded, so that it ends soon; prediction and measurement know that.

    python -m benchmarks.memory --json figures.json
    python -m benchmarks.memory --bases embedded --method attndreambooth_lora
    python -m benchmarks.memory --bases sd21=FOLDER --device cuda --gradient-checkpointing
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.bases import sd_shaped
from benchmarks.record import write_record
from model.bases.base import Base, load_base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.bases.weightless import weightless_base
from model.families.family import of_diffusers
from model.methods.method import Method, Stage
from model.methods.presets import get_method
from model.runtime.device import numeric_policy, open_device
from model.training.fitting import Forecast
from model.training.learners import trained_names
from model.training.train import train_stage
from model.weights.concept import ConceptWeights

CHECKOUT = Path(__file__).resolve().parents[1]
EMBEDDED, SHAPED = "embedded", "sd-shaped"
PRESETS = {EMBEDDED: "toyworld"}
STEPS = 3
"""From the second on the optimizer has its moments."""
_CHILD = "--measure-stage"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage; memory in GB of 10^9 bytes."""

    base: str
    method: str
    stage: str
    batch_size: int
    pixels: int
    device: str
    autocast: str
    gradient_checkpointing: bool
    libraries: float
    """Of the process before it loaded the base; 0 on a GPU, whose allocations are torch's own."""
    predicted: float
    measured: float
    predicted_to_measured: float


def main() -> None:
    """Predict, measure, print the table, write the record."""
    if sys.argv[1:2] == [_CHILD]:
        print(json.dumps(measured_here(**json.loads(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bases", nargs="+", default=[EMBEDDED, SHAPED], metavar="BASE", help=f"{EMBEDDED}, {SHAPED}, or NAME=FOLDER"
    )
    parser.add_argument("--method", default="attndreambooth")
    parser.add_argument("--batch-size", type=int, help="another than the preset's")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows: list[Row] = []
    with TemporaryDirectory() as scratch:
        for name in options.bases:
            name, folder = found(name, Path(scratch))
            method = shortened(
                get_method(options.method, PRESETS.get(name, "published")),
                options.batch_size,
                options.gradient_checkpointing,
            )
            for row in rows_of(name, folder, method, options.device):
                rows.append(row)
                print(f"{row.base:>10}  {row.stage:<16} {row.predicted_to_measured:6.2f}", flush=True)
    show(rows)
    if options.json:
        write_record(options.json, "memory", [asdict(row) for row in rows])


def found(named: str, scratch: Path) -> tuple[str, Path]:
    """Name and folder of a base; a random one is written."""
    if named == EMBEDDED:
        return named, CHECKOUT / "toyworld" / "base"
    if named == SHAPED:
        return named, sd_shaped(scratch / named)
    name, _, folder = named.rpartition("=")
    return name or folder, Path(folder)


def shortened(method: Method, batch_size: int | None, gradient_checkpointing: bool) -> Method:
    """The method with few steps, and views for one batch."""

    def short(stage: Stage) -> Stage:
        count = batch_size or stage.batch_size
        return dataclasses.replace(
            stage,
            max_train_steps=STEPS,
            batch_size=count,
            augmented_views=count,
            gradient_checkpointing=gradient_checkpointing or stage.gradient_checkpointing,
        )

    return dataclasses.replace(method, stages=tuple(map(short, method.stages)))


def rows_of(name: str, folder: Path, method: Method, device: str) -> Iterator[Row]:
    """Each stage of the method."""
    policy = numeric_policy(device)
    base = weightless_base(folder)
    forecast = Forecast(base, device=policy["device"], autocast=policy["autocast"])
    for number, footprint in enumerate(forecast.stages(method)):
        measured = measured_apart(folder, method, number, policy)
        expected = footprint.highest + measured["libraries"]
        yield Row(
            base=name,
            method=method.name,
            stage=footprint.stage.name,
            batch_size=footprint.stage.batch_size,
            pixels=base.resolution,
            device=measured["where"],
            autocast=policy["autocast"],
            gradient_checkpointing=footprint.stage.gradient_checkpointing,
            libraries=round(measured["libraries"] / 1e9, 3),
            predicted=round(expected / 1e9, 3),
            measured=round(measured["highest"] / 1e9, 3),
            predicted_to_measured=round(expected / measured["highest"], 3),
        )


def measured_apart(folder: Path, method: Method, number: int, policy: dict[str, str]) -> dict[str, Any]:
    """What `measured_here` finds in a process that does nothing else."""
    asked = {
        "folder": str(folder),
        "stages": [dataclasses.asdict(stage) for stage in method.stages[: number + 1]],
        "device": policy["device"],
        "autocast": policy["autocast"],
    }
    command = [sys.executable, "-m", "benchmarks.memory", _CHILD, json.dumps(asked)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"stage '{method.stages[number].name}' failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measured_here(folder: str, stages: list[dict[str, Any]], device: str, autocast: str) -> dict[str, Any]:
    """Train the last of the stages, and say what was used at most, in bytes."""
    *before, stage = (Stage(**each) for each in stages)
    where = open_device(device)
    for name in ("UNet2DConditionModel", "AutoencoderKL", "StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        of_diffusers(name)  # imported when they are first asked for
    _import_the_rest(where)
    libraries = _resident()
    base = load_base(folder, device=where)
    prompt = ConceptPrompt("<v>", "turtle")
    previous = _left_by(base, before, prompt) if stage.starts_from == "previous_stage" else None
    train_stage(
        base=base,
        stage=stage,
        images=_images(base.resolution),
        prompt=prompt,
        previous=previous,
        seed=0,
        autocast=autocast,
    )
    if where.type == "cuda":
        highest, name = torch.cuda.max_memory_allocated(where), torch.cuda.get_device_name(where)
        return {"libraries": 0, "highest": highest, "where": name}
    return {
        "libraries": libraries,
        "highest": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "where": "cpu",
    }


def _left_by(base: Base, before: Sequence[Stage], prompt: ConceptPrompt) -> ConceptWeights:
    """Weights as large as those that these stages leave."""
    every = parameters_of(base)
    names = {name for stage in before if not stage.lora_rank for name in trained_names(base, stage)}
    trained = {name: every[name].detach().to("cpu", copy=True) for name in names}
    return ConceptWeights.of(prompt, [torch.zeros(1, encoder.width) for encoder in base.text_encoders], trained)


def _import_the_rest(where: torch.device) -> None:
    """What libraries import and set up with their first step."""
    layer = torch.nn.Conv2d(1, 1, 1).to(where)
    layer(torch.zeros(1, 1, 8, 8, device=where)).sum().backward()
    torch.optim.AdamW(layer.parameters(), fused=True).step()


def _resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _images(side: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(4)]


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table("base", "stage", "batch", "libraries", "predicted, GB", "measured, GB", "ratio")
    for row in rows:
        figures = (row.libraries, row.predicted, row.measured, row.predicted_to_measured)
        table.add_row(row.base, row.stage, str(row.batch_size), *(f"{figure:.2f}" for figure in figures))
    Console().print(f"{rows[0].device}, autocast {rows[0].autocast}, method {rows[0].method}", table)


if __name__ == "__main__":
    main()

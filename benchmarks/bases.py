"""Memory and time of each training stage, by the shape of the base: `python -m benchmarks.bases`.

Bases of random weights, of Stable Diffusion 2.1 and XL, take a few steps of AttnDreamBooth's stages at the published
settings and draw pictures; one GPU is needed, and nothing from the network. `--tiny` tries the same on small shapes,
also on a CPU. Of the batch sizes the largest that fits is measured; those that do not fit are named. A step's time is
the median after the first two; memory is the highest of torch's allocations, on a CPU that of the process.

    python -m benchmarks.bases --batch-sizes 8 4 2 1 --json figures.json
    python -m benchmarks.bases --shapes sdxl --gradient-checkpointing
    python -m benchmarks.bases --shapes sdxl --method attndreambooth_lora --batch-sizes 8 4 2 1
"""

import argparse
import dataclasses
import gc
import itertools
import json
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.base_shapes import SHAPES, base_of, random_base, sd_shape
from model.bases.base import Base
from model.bases.prompt import ConceptPrompt
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.errors import WorkFailed
from model.methods.method import Stage
from model.methods.presets import get_method
from model.runtime.device import numeric_policy, open_device
from model.training.curve import Step
from model.training.train import train_stage
from model.weights.concept import ConceptWeights

PROMPT = ConceptPrompt("<v>", "turtle")
_VIEWS = 16
_WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one stage, or drawing, took."""

    base: str
    work: str
    batch_size: int | None
    """None: not even the smallest fits."""
    too_large: Sequence[int]
    """Batch sizes that do not fit."""
    seconds: float | None
    """Of a step, or of a picture."""
    gib: float
    """The most memory that was in use."""


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["sd-2.1", "sdxl"])
    parser.add_argument("--tiny", action="store_const", dest="shapes", const=["tiny-sd", "tiny-xl"])
    parser.add_argument("--method", default="attndreambooth", help="its published settings are taken")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8, 4, 2, 1], help="largest first")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="less memory, more time")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    device, autocast = open_device(options.device), numeric_policy(options.device)["autocast"]
    if device.type == "cpu":
        torch.set_num_threads(1)  # of small shapes a second thread only waits for the first
    stages = [
        dataclasses.replace(stage, gradient_checkpointing=options.gradient_checkpointing)
        for stage in get_method(options.method, "published").stages
    ]
    figures: list[Figures] = []
    table = Table("base", "work", "batch", "do not fit", "s a step, or a picture", "memory, GiB")
    table.columns[1].no_wrap = True
    for name in options.shapes:
        base = random_base(name, device)
        for found in measured(base, stages, options.batch_sizes, options.steps, autocast):
            figures.append(found)
            seconds = "-" if found.seconds is None else f"{found.seconds:.3f}"
            batch = "none fits" if found.batch_size is None else str(found.batch_size)
            too_large = ", ".join(map(str, found.too_large)) or "-"
            table.add_row(found.base, found.work, batch, too_large, seconds, f"{found.gib:.1f}")
        del base
        _forget(device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    Console().print(f"{where}, autocast {autocast}, torch {torch.__version__}", table)
    if options.json:
        facts = {"device": where, "autocast": autocast, "torch": torch.__version__, "steps": options.steps}
        options.json.write_text(json.dumps({**facts, "figures": [asdict(found) for found in figures]}, indent=1) + "\n")


def sd_shaped(folder: Path, *, width: int = 80, pixels: int = 256) -> Path:
    """Write a pipeline folder in the shape of Stable Diffusion, with random weights, for `load_base`; return it.

    By default the UNet has 56 million parameters and pictures have 256 pixels; the VAE is as large as the real one (84
    million), the text encoder 63 million. The folder takes 0.8 GB and some 10 seconds, the same on every call. Other
    sizes: `width` is a multiple of 40, and parameters of the UNet grow with its square; `pixels` are a multiple of 64.
    """
    return write_base(base_of(sd_shape(width, pixels), f"sd-{width}", torch.device("cpu")), folder)


def write_base(base: Base, folder: Path) -> Path:
    """Write a base as the pipeline folder that `load_base` reads; return it."""
    models = {part.part.folder: part.model for part in base.text_encoders}
    tokenizers = {part.part.tokenizer: part.tokenizer for part in base.text_encoders}
    parts = {base.family.denoiser.folder: base.denoiser, base.family.vae.folder: base.vae, **models, **tokenizers}
    pipeline = base.family.pipeline_class(scheduler=base.noise_scheduler, **parts, **base.family.pipeline_options)
    pipeline.save_pretrained(folder)
    return folder


def measured(
    base: Base, stages: Sequence[Stage], batch_sizes: Sequence[int], steps: int, autocast: str
) -> Iterator[Figures]:
    """Each stage, from the weights of the one before, then drawing with what the last has left."""
    images = _images(base.resolution)
    weights: ConceptWeights | None = None
    for stage in stages:
        too_large: list[int] = []
        for batch_size in batch_sizes:
            short = dataclasses.replace(
                stage, max_train_steps=steps, batch_size=batch_size, augmented_views=max(_VIEWS, batch_size)
            )
            _forget(base.device)
            ends: list[float] = []

            def on_step(step: Step, ends: list[float] = ends) -> None:
                if base.device.type == "cuda":
                    torch.cuda.synchronize(base.device)
                ends.append(time.perf_counter())

            try:
                weights = train_stage(
                    base=base,
                    stage=short,
                    images=images,
                    prompt=PROMPT,
                    previous=weights if stage.starts_from == "previous_stage" else None,
                    seed=0,
                    autocast=autocast,
                    on_step=on_step,
                ).weights
            except WorkFailed as failure:
                if not isinstance(failure.__cause__, torch.OutOfMemoryError):
                    raise
                too_large.append(batch_size)
                continue
            times = [end - begin for begin, end in itertools.pairwise(ends)]
            seconds = statistics.median(times[_WARM_UP - 1 :])  # the first step has no time of its own
            yield _figures(base, f"stage '{stage.name}'", batch_size, too_large, seconds)
            break
        else:
            yield _figures(base, f"stage '{stage.name}'", None, too_large, None)
            return
    _forget(base.device)
    sampling, count = Sampling(batch_size=batch_sizes[-1]), batch_sizes[-1]
    started = time.perf_counter()
    generate(base, weights, [PROMPT.text], count, sampling, autocast=autocast)
    seconds = (time.perf_counter() - started) / count
    yield _figures(base, f"drawing, {sampling.num_inference_steps} steps", count, [], seconds)


def _figures(base: Base, work: str, batch_size: int | None, too_large: Sequence[int], seconds: float | None) -> Figures:
    if base.device.type == "cuda":
        used = torch.cuda.max_memory_allocated(base.device)
    else:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Figures(
        base=base.source.reference,
        work=work,
        batch_size=batch_size,
        too_large=tuple(too_large),
        seconds=seconds,
        gib=used / 2**30,
    )


def _forget(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _images(side: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(4)]


if __name__ == "__main__":
    main()

"""Our training step against one that does what AttnDreamBooth's published code does: `python -m benchmarks.train_step`.

The same UNet, pictures, noise and device; both must find the same loss in the first step, which nothing has changed
yet, to 1e-5 of it in float32 and 1e-3 where ours is in bfloat16. Then they take turns, a step each, and a third one
that is nothing but the UNet there and back, without term, VAE, text or optimizer: hardly a step can be faster than
that, so the baseline over it is the ceiling. `ratio` is baseline over ours, its median and range over the turns; `stage
ratio` counts what our stage does once, before its first step, for as many views, steps and pictures a step as the
method has: a picture is taken to cost the same in a batch of another size.

On a CPU one thread works and its own seconds are counted, so that other work on the machine says little; `--threads`
takes more, and the clock. A GPU of 80 GB is needed for the shape of Stable Diffusion 2.1, and one of 141 GB for XL's.

    python -m benchmarks.train_step --json train_step.json                # the embedded base, and one of 56 million
    python -m benchmarks.train_step --bases sd-2.1 --device cuda
    python -m benchmarks.train_step --bases sdxl --device cuda --batch-size 1
    python -m benchmarks.train_step --bases embedded --profile            # and what our step's time is spent on
"""

import argparse
import dataclasses
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.base_shapes import SHAPES, base_of, random_base, sd_shape
from benchmarks.published import PublishedTraining
from benchmarks.record import write_record
from model.bases.base import Base, load_base
from model.bases.prompt import ConceptPrompt
from model.diffusion.augment import augmented_view
from model.diffusion.latents import encode_views, to_pixels
from model.diffusion.text_encoding import encode_text, initial_embeddings
from model.methods.method import Stage
from model.methods.presets import PUBLISHED, TOYWORLD, get_method
from model.runtime.device import numeric_policy, open_device
from model.training.curve import Step
from model.training.train import _derived_seed, train_stage
from model.weights.concept import ConceptWeights
from toyworld.samples import concept, image_set

CHECKOUT = Path(__file__).resolve().parents[1]
EMBEDDED, MIDDLE = "embedded", "middle"
_BATCH_SIZES = {MIDDLE: 1, "sdxl": 1, "tiny-sd": 2, "tiny-xl": 2}
_CONCEPT = "plum-turtle"
_SEED, _WARM_UP = 0, 1
_VIEWS = 8  # at most: encoding one more costs as much as another
_WIDTH = 130
_CLOSE = {"none": 1e-5, "bfloat16": 1e-3}
_KINDS = {
    "convolution": ("conv", "im2col"),
    "attention": ("scaled_dot_product", "softmax", "bmm", "logsumexp"),
    "matrix products": ("addmm", "mm", "linear", "matmul"),
    "norms": ("group_norm", "layer_norm"),
    "optimizer": ("adam", "foreach", "Optimizer"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage on one base; seconds of a step are medians."""

    base: str
    stage: str
    batch_size: int
    device: str
    threads: int
    autocast: str
    """Of our step; the baseline's is float32."""
    loss: float
    """Of our first step."""
    published_loss: float
    repeats: int
    seconds: float
    published_seconds: float
    unet_seconds: float
    """Of the UNet alone, forward and backward, in our number format."""
    ratio: float
    ratio_low: float
    ratio_high: float
    ceiling: float
    """What the ratio would be if our step were the UNet alone."""
    once_seconds: float
    """What our stage does before its first step, by the method's number of views."""
    views: int
    steps: int
    """Both of the method's stage."""
    stage_ratio: float


class Clock:
    """Seconds of this process on one thread of a CPU, else of the world; waits for a GPU first."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self._seconds = time.process_time if alone else time.perf_counter

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._seconds()

    def of(self, work: Callable[[], object]) -> float:
        """Seconds that some work takes."""
        began = self.now()
        work()
        return self.now() - began


def main() -> None:
    """Compare losses, measure, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", nargs="+", choices=[EMBEDDED, MIDDLE, *SHAPES], default=[EMBEDDED, MIDDLE])
    parser.add_argument("--stages", nargs="+", choices=["embedding", "cross_attention", "unet"], help="default: all")
    parser.add_argument("--repeats", type=int, default=5, help="turns after the first, which does not count")
    parser.add_argument("--batch-size", type=int, help="default: 8; of the middle base and of XL 1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto", help="of our step: float32, or bfloat16 where that is quicker")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--profile", action="store_true", help="say what our steps are spent on; figures count less")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    device = open_device(options.device)
    autocast = numeric_policy(options.device, options.dtype)["autocast"]
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name in options.bases:
        base = opened(name, device)
        batch_size = options.batch_size or _BATCH_SIZES.get(name, 8)
        for row in measured(name, base, batch_size, options.repeats, autocast, options.stages, options.profile):
            rows.append(row)
            print(f"{row.base:>10}  {row.stage:<16} {row.ratio:5.2f}", flush=True)
            if options.json:  # what is there is there, should somebody stop it
                write_record(options.json, "train_step", [*map(asdict, rows)])
    show(rows)


def opened(name: str, device: torch.device) -> Base:
    """The base of that name on the device."""
    if name == EMBEDDED:
        return load_base(str(CHECKOUT / "toyworld" / "base"), device=device)
    return base_of(sd_shape(80, 256), MIDDLE, device) if name == MIDDLE else random_base(name, device)


def measured(
    name: str,
    base: Base,
    batch_size: int,
    repeats: int,
    autocast: str,
    stages: Sequence[str] | None = None,
    profile: bool = False,
) -> Iterator[Row]:
    """Each stage, from what ours has left of the one before. Exits if ours and the baseline do not agree."""
    images = [image.resize((base.resolution, base.resolution)) for image in image_set(_CONCEPT)]
    prompt = ConceptPrompt("<v>", concept(_CONCEPT).super_category)
    weights: ConceptWeights | None = None
    for method in get_method("attndreambooth", TOYWORLD if name == EMBEDDED else PUBLISHED).stages:
        stage = dataclasses.replace(method, batch_size=batch_size)
        start = weights or ConceptWeights.of(prompt, initial_embeddings(base, stage, prompt), {})
        if stages and stage.name not in stages:
            continue
        turns = Turns(base, stage, images, start, autocast, profile)
        weights = turns.take(_WARM_UP + repeats)
        if abs(turns.loss / turns.published_loss - 1) > _CLOSE[autocast]:
            sys.exit(f"{name} {stage.name}: loss {turns.loss}, the published code's {turns.published_loss}")
        if profile:
            turns.show_profile()
        yield turns.row(name, method)


class Turns:
    """Our training of a stage, and after each of its steps one of the baseline and one of the UNet alone."""

    def __init__(
        self,
        base: Base,
        stage: Stage,
        images: Sequence[Image.Image],
        start: ConceptWeights,
        autocast: str,
        profile: bool,
    ) -> None:
        """`start` is what the stage begins with."""
        self.base, self.stage, self.images, self.start, self.autocast = base, stage, images, start, autocast
        self.views = min(_VIEWS, stage.batch_size)
        self.few = dataclasses.replace(stage, augmented_views=self.views)
        self.clock = Clock(base.device)
        encode_views(base, images, self.few, 0)  # a device's first work takes longer
        self.a_view = self.clock.of(lambda: encode_views(base, images, self.few, 0)) / self.views
        seed = _derived_seed(_SEED, stage, "noise")
        rng = random.Random(_derived_seed(_SEED, stage, "views"))
        drawn = [augmented_view(images[n % len(images)], self.few, base.resolution, rng) for n in range(self.views)]
        self.published = PublishedTraining(
            base,
            stage,
            start,
            to_pixels([view.image for view in drawn]).to(base.device),
            torch.tensor([view.time_ids for view in drawn], dtype=torch.float32, device=base.device),
            torch.Generator().manual_seed(seed),
        )
        self.loss = self.published_loss = self.before_first = 0.0
        self.seconds: list[tuple[float, float, float]] = []
        """Ours, the baseline's, the UNet's."""
        self.profiler = torch.profiler.profile() if profile else None

    def take(self, count: int) -> ConceptWeights:
        """So many turns; what ours has learnt."""
        began = self.clock.now()

        def on_step(step: Step) -> None:
            nonlocal began
            ours = self.clock.now() - began
            if self.profiler and step.step > 1:
                self.profiler.stop()
            with _as_usual():
                theirs = self.clock.of(self._publish)
                alone = self.clock.of(self._unet_alone)
            if step.step == 1:
                self.loss, self.before_first = step.loss, ours
            if step.step > _WARM_UP:
                self.seconds.append((ours, theirs, alone))
            if self.profiler and step.step < count:
                self.profiler.start()
            began = self.clock.now()

        return train_stage(
            base=self.base,
            stage=dataclasses.replace(self.few, max_train_steps=count),
            images=self.images,
            prompt=self.start.prompt,
            previous=self.start if self.stage.starts_from == "previous_stage" else None,
            seed=_SEED,
            autocast=self.autocast,
            on_step=on_step,
        ).weights

    def _publish(self) -> None:
        loss = self.published.step()
        self.published_loss = self.published_loss or loss

    def _unet_alone(self) -> None:
        theirs = self.published
        unet, family, count = theirs.base.denoiser, self.base.family, self.stage.batch_size
        with torch.no_grad():
            text = encode_text(theirs.base, [theirs.prompt], theirs.embeddings).expanded(count)
        text.states.requires_grad_(self.stage.trains_text)
        latents = torch.randn(count, *self.base.latent_shape, device=self.base.device)
        timesteps = torch.full((count,), 500, device=self.base.device)
        unet.set_attn_processor(AttnProcessor2_0())
        with torch.autocast(self.base.device.type, dtype=torch.bfloat16, enabled=self.autocast == "bfloat16"):
            prediction = family.predict(unet, latents, timesteps, text, self.base.time_ids.expand(count, -1))
        F.mse_loss(prediction.float(), latents).backward()
        unet.set_attn_processor(theirs.attention)
        theirs.optimizer.zero_grad()

    def row(self, name: str, method: Stage) -> Row:
        """What was measured; `method` has the stage's own batch size."""
        ours, theirs, alone = (statistics.median(column) for column in zip(*self.seconds, strict=True))
        ratios = [baseline / own for own, baseline, _ in self.seconds]
        other = max(0.0, self.before_first - ours - self.views * self.a_view)
        once = other + method.view_count * self.a_view
        pictures = method.max_train_steps * method.batch_size / self.stage.batch_size
        return Row(
            base=name,
            stage=self.stage.name,
            batch_size=self.stage.batch_size,
            device=str(self.base.device),
            threads=torch.get_num_threads(),
            autocast=self.autocast,
            loss=self.loss,
            published_loss=self.published_loss,
            repeats=len(self.seconds),
            seconds=ours,
            published_seconds=theirs,
            unet_seconds=alone,
            ratio=statistics.median(ratios),
            ratio_low=min(ratios),
            ratio_high=max(ratios),
            ceiling=theirs / alone,
            once_seconds=once,
            views=method.view_count,
            steps=method.max_train_steps,
            stage_ratio=theirs * pictures / (once + ours * pictures),
        )

    def show_profile(self) -> None:
        """Print the shares of our last step's time by kind of operation."""
        spent: Counter[str] = Counter()
        for event in self.profiler.key_averages() if self.profiler else ():
            kinds = (kind for kind, words in _KINDS.items() if any(word in event.key for word in words))
            spent[next(kinds, "the rest")] += event.self_cpu_time_total + event.self_device_time_total
        table = Table("our step", "share", title=self.stage.name)
        for kind, time_spent in spent.most_common():
            table.add_row(kind, f"{time_spent / spent.total():.0%}")
        Console(width=_WIDTH).print(table)


@contextmanager
def _as_usual() -> Iterator[None]:
    """Inside, torch takes its quickest kernels: that the published code does not ask for the deterministic ones."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    console = Console(width=max(Console().width, _WIDTH))
    table = Table(
        "base", "stage", "batch", "published, s", "ours, s", "ratio", "range", "UNet alone, s", "ceiling", "stage"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        seconds = (f"{value:.3f}" for value in (row.published_seconds, row.seconds))
        spread = f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
        rest = f"{row.unet_seconds:.3f}", f"{row.ceiling:.2f}", f"{row.stage_ratio:.2f}"
        table.add_row(row.base, row.stage, str(row.batch_size), *seconds, f"{row.ratio:.2f}", spread, *rest)
    console.print(table)


if __name__ == "__main__":
    main()

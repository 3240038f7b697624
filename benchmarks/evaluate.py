"""Drawing and scoring an evaluation's pictures against the plain loop: `python -m benchmarks.evaluate`.

The plain loop is what most scripts do: `pipeline(prompt)` of diffusers for one picture after the other, and each
picture through CLIP and the identity model by itself. Ours draws many prompts' pictures side by side and embeds all of
them together. Base, solver, steps, guidance and noise are the same; so are the pictures, and the largest difference of
a pixel is said, in levels of 255. The two take turns. `ratio` is the loop over ours, its median and range.

On a CPU one thread works and its own seconds are counted, so that other work on the machine says little.

    python -m benchmarks.evaluate --json evaluate.json            # the embedded base
    python -m benchmarks.evaluate --bases sd-2.1 --device cuda    # its shape, random weights
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.base_shapes import SHAPES
from benchmarks.record import write_record
from benchmarks.storage import differences
from benchmarks.train_step import CHECKOUT, EMBEDDED, MIDDLE, Clock, opened
from model.bases.base import Base
from model.drawing.sample import generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.runtime.device import numeric_policy, open_device
from model.runtime.numerics import autocast_to
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from model.scores.metrics import Embeddings, embed
from tasks.project.params import load_params
from tasks.project.prompt_sets import load_prompt_set
from toyworld.samples import image_set

_CONCEPT = "plum-turtle"  # only a size of image set: the untrained base draws
_WIDTH = 130
_TOGETHER = 1e-4
"""Most that an embedding may differ for being made beside others."""

Pictures = list[list[Image.Image]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One base; seconds are those of a picture, medians over the turns."""

    base: str
    device: str
    threads: int
    autocast: str
    pictures: int
    num_inference_steps: int
    batch_size: int
    repeats: int
    drawing_seconds: float
    scoring_seconds: float
    plain_drawing_seconds: float
    plain_scoring_seconds: float
    pictures_per_second: float
    plain_pictures_per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float
    mean_difference: float
    largest_difference: int


class Ways:
    """Both ways to come from prompts to embedded pictures."""

    def __init__(self, base: Base, sampling: Sampling, autocast: str, prompts: Sequence[str], count: int) -> None:
        params = load_params(CHECKOUT / "params.yaml")
        self.base, self.sampling, self.autocast, self.prompts, self.count = base, sampling, autocast, prompts, count
        self.images = image_set(_CONCEPT)
        self.evaluator = Evaluator.load(str(CHECKOUT / params.evaluator), None, device=base.device)
        self.identity_model = IdentityModel.load(str(CHECKOUT / str(params.identity_model)), None, device=base.device)
        models = {part.part.folder: part.model for part in base.text_encoders}
        tokenizers = {part.part.tokenizer: part.tokenizer for part in base.text_encoders}
        parts: dict[str, Any] = {base.family.denoiser.folder: base.denoiser, base.family.vae.folder: base.vae}
        sampler = base.family.sampler_of(base.noise_scheduler)
        self.pipeline = base.family.pipeline_class(
            scheduler=sampler, **parts, **models, **tokenizers, **base.family.pipeline_options
        )
        self.pipeline.set_progress_bar_config(disable=True)

    def drawn(self) -> Pictures:
        """As this project draws."""
        return generate(self.base, None, self.prompts, self.count, self.sampling, autocast=self.autocast)

    def embedded(self, pictures: Pictures) -> Embeddings:
        """As this project scores."""
        return self._embedded(pictures, self.prompts)

    def plainly_drawn(self) -> Pictures:
        """One picture after the other."""
        return [[self._picture(prompt, image) for image in range(self.count)] for prompt in self.prompts]

    def plainly_embedded(self, pictures: Pictures) -> list[Embeddings]:
        """The same one after the other; the concept's own images once."""
        return [
            self._embedded([[picture]], [prompt], self.images if not (row or place) else self.images[:1])
            for row, prompt in enumerate(self.prompts)
            for place, picture in enumerate(pictures[row])
        ]

    def _embedded(
        self, pictures: Pictures, prompts: Sequence[str], images: Sequence[Image.Image] | None = None
    ) -> Embeddings:
        models: dict[str, Any] = {"evaluator": self.evaluator, "identity_model": self.identity_model}
        return embed(pictures, images or self.images, prompts, **models)

    def _picture(self, prompt: str, image: int) -> Image.Image:
        with autocast_to(self.autocast, self.base.device):
            picture: Image.Image = self.pipeline(
                prompt,
                latents=initial_noise(self.base, self.sampling.seed, image),
                num_inference_steps=self.sampling.num_inference_steps,
                guidance_scale=self.base.family.pipeline_guidance(self.sampling.guidance_scale),
                **self.base.family.call_options(self.base.resolution),
            ).images[0]
        return picture


def main() -> None:
    """Measure, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", nargs="+", choices=[EMBEDDED, MIDDLE, *SHAPES], default=[EMBEDDED])
    parser.add_argument("--prompts", type=int, default=4, help="how many of the evaluation's")
    parser.add_argument("--images-per-prompt", type=int, default=4)
    parser.add_argument("--steps", type=int, help="of the solver; default: 10 of the embedded base, else 25")
    parser.add_argument("--repeats", type=int, default=5, help="turns after the first, which does not count")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto", help="of both ways")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    device = open_device(options.device)
    autocast = numeric_policy(options.device, options.dtype)["autocast"]
    if device.type == "cpu":
        torch.set_num_threads(1)
    params = load_params(CHECKOUT / "params.yaml")
    prompts = [prompt.text for prompt in load_prompt_set(CHECKOUT / params.evaluation.prompts).prompts]
    plain = [prompt.replace("{}", "turtle") for prompt in prompts[: options.prompts]]
    rows = []
    for name in options.bases:
        usual = params.sampling.model_dump() if name == EMBEDDED else Sampling().__dict__
        sampling = Sampling(**usual | ({"num_inference_steps": options.steps} if options.steps else {}))
        ways = Ways(opened(name, device), sampling, autocast, plain, options.images_per_prompt)
        rows.append(measured(name, ways, options.repeats))
        if options.json:
            write_record(options.json, "evaluate", [*map(asdict, rows)])
    show(rows)


def measured(name: str, ways: Ways, repeats: int) -> Row:
    """Let both ways take turns. Exits if one embeds otherwise than the other."""
    clock, pictures = Clock(ways.base.device), len(ways.prompts) * ways.count
    took: list[tuple[float, float, float, float]] = []
    for turn in range(repeats + 1):
        began = clock.now()
        ours = ways.drawn()
        drawn = clock.now()
        embeddings = ways.embedded(ours)
        scored = clock.now()
        theirs = ways.plainly_drawn()
        plainly_drawn = clock.now()
        plain = ways.plainly_embedded(ours)
        ended = clock.now()
        if turn:
            spans = drawn - began, scored - drawn, plainly_drawn - scored, ended - plainly_drawn
            took.append(tuple(span / pictures for span in spans))  # type: ignore[arg-type]
    one_by_one = torch.cat([each.clip_generated.flatten(0, 1) for each in plain])
    if (gone := (embeddings.clip_generated.flatten(0, 1) - one_by_one).abs().max().item()) > _TOGETHER:
        sys.exit(f"{name}: embeddings differ by {gone} from those that are made one by one")
    mean, largest = differences(ours, theirs)
    ratios = [(plain_drawing + plain_scoring) / (own + scoring) for own, scoring, plain_drawing, plain_scoring in took]
    drawing, scoring, plain_drawing, plain_scoring = (statistics.median(column) for column in zip(*took, strict=True))
    return Row(
        base=name,
        device=str(ways.base.device),
        threads=torch.get_num_threads(),
        autocast=ways.autocast,
        pictures=pictures,
        num_inference_steps=ways.sampling.num_inference_steps,
        batch_size=ways.sampling.batch_size,
        repeats=repeats,
        drawing_seconds=drawing,
        scoring_seconds=scoring,
        plain_drawing_seconds=plain_drawing,
        plain_scoring_seconds=plain_scoring,
        pictures_per_second=1 / (drawing + scoring),
        plain_pictures_per_second=1 / (plain_drawing + plain_scoring),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        mean_difference=mean,
        largest_difference=largest,
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table("base", "way", "drawing, s", "scoring, s", "pictures a second", "ratio", "range", "pixels, largest")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        pace = f"{row.plain_pictures_per_second:.2f}"
        table.add_row(
            row.base, "plain loop", f"{row.plain_drawing_seconds:.4f}", f"{row.plain_scoring_seconds:.4f}", pace
        )
        spread = f"{row.ratio:.2f}", f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
        ours = f"{row.drawing_seconds:.4f}", f"{row.scoring_seconds:.4f}", f"{row.pictures_per_second:.2f}"
        table.add_row("", "ours", *ours, *spread, str(row.largest_difference))
    Console(width=max(Console().width, _WIDTH)).print(table)


if __name__ == "__main__":
    main()

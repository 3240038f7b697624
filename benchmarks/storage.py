"""Bytes of a version by its form, and what they cost in scores and pictures: `python -m benchmarks.storage`.

Sample concepts of the embedded base are trained with the toyworld preset (about a minute each; `--weights FOLDER` keeps
them, and takes what is there). Each form is written and read again, and draws all evaluation prompts from the same
noise as the exact weights do. A row's differences are to those: of scores the mean over concepts, with a 95 % interval
by Student's t over concepts; of pictures the mean and the largest over all pixels, in levels of 255.

Bytes of Stable Diffusion 2.1's and XL's shape are counted, not measured: no weights of theirs are needed.

    python -m benchmarks.storage --concepts plum-turtle rose-backpack --json storage.json
    python -m benchmarks.storage --ranks 8 12 16 20 24 28 32 --only-small        # the curve alone
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.base_shapes import SHAPES
from benchmarks.record import write_record
from model.bases.base import Base, load_base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.exports.low_rank import low_rank, restored
from model.methods.presets import get_method
from model.scores.evaluator import Evaluator
from model.scores.identity_model import IdentityModel
from model.scores.metrics import embed, scores_of
from model.training.train import train_stage
from model.weights.codes import levels, nearest_codes
from model.weights.concept import ConceptWeights
from model.weights.small import USUAL_RANKS
from tasks.project.params import Params, load_params
from tasks.project.prompt_sets import load_prompt_set
from toyworld.experiment import TUNING
from toyworld.samples import concept, concepts, image_set

CHECKOUT = Path(__file__).resolve().parents[1]
SCORES = ("clip_i", "clip_t", "dino")
EXACT = "exact, float32"
_WIDTH = 130  # letters: in fewer the table says nothing
_HALF = 2  # bytes of a number in 16 bits
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % points of Student's t by degrees of freedom, from 1."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One form of one concept."""

    concept: str
    form: str
    bytes: int
    share: float
    """Of the float32 UNet."""
    seconds: float | None
    """To make it."""
    clip_i: float
    clip_t: float
    dino: float
    mean_difference: float
    largest_difference: int


@dataclass(frozen=True, kw_only=True)
class Form:
    """A version's weights in one form."""

    weights: ConceptWeights
    bytes: int


class Judge:
    """Draws and scores; the same noise for every form."""

    def __init__(self, params: Params, base: Base, images_per_prompt: int) -> None:
        self.base, self.count = base, images_per_prompt
        self.prompts = [prompt.text for prompt in load_prompt_set(CHECKOUT / params.evaluation.prompts).prompts]
        self.sampling = Sampling(seed=params.evaluation.seed, **params.sampling.model_dump())
        self.evaluator = Evaluator.load(str(CHECKOUT / params.evaluator), None, device=base.device)
        self.identity_model = IdentityModel.load(str(CHECKOUT / str(params.identity_model)), None, device=base.device)

    def drawn(self, weights: ConceptWeights) -> list[list[Image.Image]]:
        """Pictures by prompt."""
        filled = [weights.prompt.fill(prompt) for prompt in self.prompts]
        return generate(self.base, weights, filled, self.count, self.sampling)

    def scores(self, weights: ConceptWeights, pictures: list[list[Image.Image]], images: list[Image.Image]) -> Any:
        """Their means by name."""
        plain = [weights.prompt.without_placeholder(prompt) for prompt in self.prompts]
        found = embed(pictures, images, plain, evaluator=self.evaluator, identity_model=self.identity_model)
        return {name: interval.mean for name, interval in scores_of(found, plain).intervals.items() if name in SCORES}


def main() -> None:
    """Train what is not there, measure, print the tables, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", nargs="+", choices=[*concepts()], default=list(TUNING), metavar="NAME")
    parser.add_argument("--ranks", nargs="+", type=float, default=[12, 20, USUAL_RANKS], help="of the small form")
    parser.add_argument("--only-small", action="store_true", help="measure no other forms")
    parser.add_argument("--weights", type=Path, help="folder that keeps what was trained")
    parser.add_argument("--images-per-prompt", type=int, default=8)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    params = load_params(CHECKOUT / "params.yaml")
    base = load_base(str(CHECKOUT / params.base))
    judge = Judge(params, base, options.images_per_prompt)
    counted = [*counted_rows(options.ranks)]
    rows: list[Row] = []
    with TemporaryDirectory() as scratch:
        for name in options.concepts:
            for row in measured(judge, name, options.weights or Path(scratch), options.ranks, options.only_small):
                rows.append(row)
                print(f"{row.concept:>16}  {row.form:<30} {row.share:7.2%}", flush=True)
            if options.json:  # what is there is there, should somebody stop it
                summary = [*summarised(rows)]
                write_record(options.json, "storage", [*map(asdict, rows), *summary, *counted])
    show(options.concepts, [*summarised(rows)], counted)


def measured(judge: Judge, name: str, folder: Path, ranks: Sequence[float], only_small: bool) -> Iterator[Row]:
    """All forms of one concept, the exact one first."""
    images = image_set(name)
    exact = trained(judge.base, name, images, folder)
    whole = sum(parameter.nbytes for parameter in judge.base.denoiser.parameters())
    reference: list[list[Image.Image]] | None = None
    for form, make in forms(judge.base, ranks, only_small).items():
        started = time.perf_counter()
        found = make(exact)
        seconds = time.perf_counter() - started
        pictures = judge.drawn(found.weights)
        reference = reference or pictures
        mean, largest = differences(reference, pictures)
        yield Row(
            concept=name,
            form=form,
            bytes=found.bytes,
            share=found.bytes / whole,
            seconds=round(seconds, 2),
            mean_difference=mean,
            largest_difference=largest,
            **judge.scores(found.weights, pictures, images),
        )


def trained(base: Base, name: str, images: list[Image.Image], folder: Path) -> ConceptWeights:
    """The exact weights of AttnDreamBooth on the embedded base, from the folder or trained into it."""
    path = folder / f"{name}.safetensors"
    if path.is_file():
        return ConceptWeights.load(path)
    prompt = ConceptPrompt(f"<{name}>", concept(name).super_category)
    weights: ConceptWeights | None = None
    for stage in get_method("attndreambooth", "toyworld").stages:
        weights = train_stage(base=base, stage=stage, images=images, prompt=prompt, previous=weights, seed=0).weights
    assert weights is not None
    folder.mkdir(parents=True, exist_ok=True)
    weights.save(path)
    return weights


def forms(base: Base, ranks: Sequence[float], only_small: bool) -> dict[str, Callable[[ConceptWeights], Form]]:
    """By name how a form is made of the exact weights."""
    small = {f"small, {rank:g} ranks": lambda exact, rank=rank: as_written(exact.shrunk(base, rank)) for rank in ranks}
    others: dict[str, Callable[[ConceptWeights], Form]] = {
        "difference, bfloat16": lambda exact: changed(base, exact, _bfloat16),
        "difference, 4 bits": lambda exact: changed(base, exact, lambda change: _low_bits(change, 4)),
        "difference, 1 bit and row scales": lambda exact: changed(base, exact, _one_bit),
        "LoRA cut, rank 16, float16": lambda exact: cut(base, exact, 16),
    }
    return {EXACT: as_written} | ({} if only_small else others) | small


def as_written(weights: ConceptWeights) -> Form:
    """As it is after a round through its file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "concept.safetensors"
        weights.save(path)
        return Form(weights=ConceptWeights.load(path), bytes=path.stat().st_size)


def changed(base: Base, exact: ConceptWeights, change: Callable[[torch.Tensor], tuple[torch.Tensor, int]]) -> Form:
    """The difference to the base, parameter by parameter, as `change` leaves it and in its bytes."""
    own, unet, size = parameters_of(base), dict[str, torch.Tensor](), 0
    for name, tensor in exact.unet.items():
        before = own[f"unet.{name}"].detach()
        left, taken = change(tensor - before)
        unet[name], size = before + left, size + taken
    return Form(weights=replace(exact, unet=unet), bytes=size)


def cut(base: Base, exact: ConceptWeights, rank: int) -> Form:
    """As `conceptbooth export --as lora` cuts it, its numbers in 16 bits; biases and norms are lost."""
    found = low_rank(base, exact, rank)
    size = sum(tensor.numel() * _HALF for tensor in found.layers.values())
    return Form(weights=restored(exact, found), bytes=size)


def _bfloat16(change: torch.Tensor) -> tuple[torch.Tensor, int]:
    return change.to(torch.bfloat16).float(), change.numel() * _HALF


def _low_bits(change: torch.Tensor, bits: int) -> tuple[torch.Tensor, int]:
    rows = change.reshape(len(change), -1) if change.ndim > 1 else change.reshape(1, -1)
    codes, steps = nearest_codes(rows, bits)
    left = levels(codes, bits) * steps.float()[:, None]
    return left.reshape(change.shape), math.ceil(change.numel() * bits / 8) + steps.nbytes


def _one_bit(change: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Signs, and a scale a row (arXiv 2402.10193); what has no rows is left in 16 bits."""
    if change.ndim < 2:
        return change, change.numel() * _HALF
    rows = change.flatten(1)
    left = rows.sign() * rows.abs().mean(dim=1, keepdim=True)
    return left.reshape(change.shape), math.ceil(change.numel() / 8) + len(rows) * _HALF


def differences(one: list[list[Image.Image]], other: list[list[Image.Image]]) -> tuple[float, int]:
    """Mean and largest difference of all pixels, in levels of 255."""
    pairs = [(a, b) for row, others in zip(one, other, strict=True) for a, b in zip(row, others, strict=True)]
    found = np.stack([np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)) for a, b in pairs])
    return round(float(found.mean()), 3), int(found.max())


def summarised(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """One row a form over all concepts, scores as means and as differences to the exact form with their intervals."""
    exact = {row.concept: row for row in rows if row.form == EXACT}
    for form in dict.fromkeys(row.form for row in rows):
        of_form = [row for row in rows if row.form == form]
        row: dict[str, Any] = {"concept": "all", "form": form, "concepts": len(of_form)}
        row["bytes"] = round(statistics.mean(found.bytes for found in of_form))
        row["share"] = statistics.mean(found.share for found in of_form)
        row["mean_difference"] = statistics.mean(found.mean_difference for found in of_form)
        row["largest_difference"] = max(found.largest_difference for found in of_form)
        for score in SCORES:
            row[score] = statistics.mean(getattr(found, score) for found in of_form)
            lost = [getattr(found, score) - getattr(exact[found.concept], score) for found in of_form]
            row[f"{score}_difference"], row[f"{score}_margin"] = statistics.mean(lost), margin(lost)
        yield row


def margin(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of their mean; None of a single one."""
    if not 2 <= len(values) <= len(_STUDENT) + 1:
        return None
    return _STUDENT[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))


def counted_rows(ranks: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Bytes of the small form by the shapes of large UNets: codes of matrices, of the rest, names."""
    for base in ("sd-2.1", "sdxl"):
        with torch.device("meta"):
            unet = UNet2DConditionModel(**SHAPES[base].unet)
        shapes = {name: tuple(parameter.shape) for name, parameter in unet.named_parameters()}
        whole = 4 * sum(map(math.prod, shapes.values()))
        yield {"base": base, "form": EXACT, "bytes": whole, "share": 1.0}
        for rank in ranks:
            size = counted_bytes(shapes, rank)
            yield {"base": base, "form": f"small, {rank:g} ranks", "bytes": size, "share": size / whole}


def counted_bytes(shapes: Mapping[str, tuple[int, ...]], ranks: float) -> int:
    """At most: the budget is never passed, and a layer's entry in the header has some 60 bytes beside its name."""
    size = 0.0
    for name, shape in shapes.items():
        sides = (shape[0] + math.prod(shape[1:])) / 2 + 2 if len(shape) > 1 else 0
        size += ranks * sides + (0 if sides else math.prod(shape) + 2) + len(name) + 60
    return round(size)


def show(names: Sequence[str], summary: Sequence[Mapping[str, Any]], counted: Sequence[Mapping[str, Any]]) -> None:
    """Print both tables."""
    console = Console(width=max(Console().width, _WIDTH))
    table = Table("form", "bytes", "share", "DINO", "CLIP-I", "CLIP-T", "pixels, mean", "largest")
    for column in table.columns[1:]:
        column.justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for row in summary:
        told = [_told(row, score) for score in ("dino", "clip_i", "clip_t")]
        pixels = f"{row['mean_difference']:.2f}", str(row["largest_difference"])
        table.add_row(row["form"], f"{row['bytes']:,}", f"{row['share']:.2%}", *told, *pixels)
    console.print(f"embedded base, {len(names)} concepts; scores of the exact form, of others the difference", table)
    table = Table("base", "form", "bytes", "share")
    for row in counted:
        table.add_row(row["base"], row["form"], f"{row['bytes']:,}", f"{row['share']:.2%}")
    console.print("counted from shapes", table)


def _told(row: Mapping[str, Any], score: str) -> str:
    if row["form"] == EXACT:
        return f"{row[score]:.3f}"
    spread = row[f"{score}_margin"]
    return f"{row[f'{score}_difference']:+.4f}" + (f" ± {spread:.4f}" if spread is not None else "")


if __name__ == "__main__":
    main()

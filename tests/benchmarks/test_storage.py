"""The storage benchmark: what it says of bytes is what files have, and its record is flat data."""

import json
import math

import pytest
import torch

import benchmarks.storage as storage
from benchmarks.record import write_record
from model.bases.base import Base, load_base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.weights.concept import ConceptWeights
from model.weights.small import USUAL_RANKS
from tasks.project.params import load_params
from toyworld.samples import concept, image_set

NAME = "plum-turtle"


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base(str(storage.CHECKOUT / "toyworld" / "base"))


@pytest.fixture(scope="module")
def exact(base: Base) -> ConceptWeights:
    """Every parameter of the UNet changed, and no structure in it: nothing takes more bytes."""
    noise = torch.Generator().manual_seed(0)
    changed = {
        name: parameter.detach() + 1e-3 * torch.randn(parameter.shape, generator=noise)
        for name, parameter in parameters_of(base).items()
        if name.startswith("unet.")
    }
    width = base.text_encoders[0].width
    prompt = ConceptPrompt(f"<{NAME}>", concept(NAME).super_category)
    return ConceptWeights.of(prompt, [torch.randn(1, width, generator=noise)], changed)


def test_the_usual_form_is_a_twentieth_of_the_embedded_base_and_a_hundredth_of_the_large_ones(base, exact):
    whole = sum(parameter.nbytes for parameter in base.denoiser.parameters())
    small = storage.as_written(exact.shrunk(base))
    assert small.bytes <= 0.05 * whole
    shapes = {name: tuple(parameter.shape) for name, parameter in base.denoiser.named_parameters()}
    assert small.bytes <= 1.01 * storage.counted_bytes(shapes, USUAL_RANKS)  # counting is no promise that files break
    for row in storage.counted_rows([USUAL_RANKS]):
        assert row["share"] == 1 or row["share"] <= 0.01


def test_all_forms_of_a_concept_are_drawn_and_scored_against_the_exact_one(base, exact, tmp_path):
    exact.save(tmp_path / f"{NAME}.safetensors")
    judge = storage.Judge(load_params(storage.CHECKOUT / "params.yaml"), base, 1)
    judge.prompts = judge.prompts[:2]
    rows = [*storage.measured(judge, NAME, tmp_path, [4], only_small=False)]
    assert [row.form for row in rows] == [*storage.forms(base, [4], only_small=False)]
    by_form = {row.form: row for row in rows}
    assert by_form[storage.EXACT].mean_difference == 0
    lossless, rough = by_form["difference, bfloat16"], by_form["small, 4 ranks"]
    assert lossless.bytes > 10 * rough.bytes and lossless.mean_difference < rough.mean_difference
    summary = [*storage.summarised(rows)]
    write_record(tmp_path / "record.json", "storage", summary)
    record = json.loads((tmp_path / "record.json").read_text())
    assert {"machine", "versions", "commit"} <= record.keys()
    assert all(not isinstance(value, dict | list) for row in record["rows"] for value in row.values())
    assert len(image_set(NAME)) > 2


def test_an_interval_needs_two_concepts_and_is_student_s():
    assert storage.margin([0.1]) is None
    assert storage.margin([0.0, 2.0]) == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2))

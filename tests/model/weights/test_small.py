"""The small form of a concept model: near to the exact one, in few bytes, read back as it was written."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.weights.codes import levels, nearest_codes, packed, packed_size, unpacked
from model.weights.concept import ConceptWeights
from model.weights.file import is_small
from model.weights.small import Layer, SmallChange, shrink

PROMPT = ConceptPrompt("<v>", "teddy bear")


def decaying(out: int, inside: int, generator: torch.Generator) -> torch.Tensor:
    """A matrix whose singular values fall as those of trained changes do."""
    rank = min(out, inside)
    left, right = (torch.linalg.qr(torch.randn(side, rank, generator=generator))[0] for side in (out, inside))
    return (left * torch.arange(1, rank + 1) ** -1.0) @ right.T


def lost(changes: dict[str, torch.Tensor], small: SmallChange) -> float:
    """Share of the energy of all changes."""
    error = sum(float((change - changes[name]).square().sum()) for name, change in small.changes())
    return error / sum(float(change.square().sum()) for change in changes.values())


@pytest.fixture
def changes() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": decaying(64, 96, generator),
        "b.weight": decaying(48, 9 * 32, generator).reshape(48, 32, 3, 3) * 0.01,
        "c.weight": decaying(96, 40, generator),
        "c.bias": torch.randn(96, generator=generator) * 0.1,
    }


@pytest.fixture
def weights(base) -> ConceptWeights:
    generator = torch.Generator().manual_seed(0)
    own = parameters_of(base)
    changed = {
        name: parameter.detach() + 0.05 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in own.items()
        if name.startswith("unet.") or ".mlp." in name
    }
    return ConceptWeights.of(PROMPT, [torch.randn(1, 16, generator=generator)], changed)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_come_back_and_lose_what_theory_says(bits):
    vectors = torch.randn(5, 4001, generator=torch.Generator().manual_seed(1)) * torch.tensor([[1], [2], [3], [0], [9]])
    codes, steps = nearest_codes(vectors, bits)
    content = packed(codes, bits)
    assert len(content) == packed_size(codes.numel(), bits) == math.ceil(codes.numel() * bits / 8)
    assert torch.equal(unpacked(content, bits, codes.numel()).reshape(codes.shape), codes)
    error = levels(codes, bits) * steps.float()[:, None] - vectors
    assert not error[3].any()
    share = error[[0, 1, 2, 4]].square().mean(dim=1) / vectors[[0, 1, 2, 4]].square().mean(dim=1)
    assert (share < {2: 0.13, 4: 0.013, 8: 2e-4}[bits]).all()


def test_more_bytes_lose_less_and_the_budget_is_kept(changes):
    found = {ranks: shrink(changes, ranks) for ranks in (2, 6, 12, 30)}
    losses = [lost(changes, small) for small in found.values()]
    assert losses == sorted(losses, reverse=True) and losses[0] < 0.25 and losses[-1] < 2e-3
    sides = [(change.shape[0] + math.prod(change.shape[1:])) / 2 + 2 for change in changes.values() if change.ndim > 1]
    assert all(small.bytes <= ranks * sum(sides) + 96 + 2 + 3 for ranks, small in found.items())


def test_layers_that_changed_much_get_most(changes):
    layers = shrink(changes, 3).layers
    assert sum(layers["a.weight"].kept) > 5 and sum(layers["b.weight"].kept) == 0
    assert layers["c.bias"].kept == (1, 0, 0)


def test_a_change_is_as_long_as_it_was(changes):
    small = shrink(changes, 6)
    for name, change in small.changes():
        assert not sum(small.layers[name].kept) or float(change.norm()) == pytest.approx(
            float(changes[name].norm()), rel=0.005
        )


def test_it_is_better_than_the_same_bytes_cut_alone(changes):
    """Ranks by energy with bits by energy, against one rank for all in 8 bits."""
    small = shrink(changes, 6)
    error = 0.0
    for name, change in changes.items():
        if change.ndim > 1:
            values = torch.linalg.svdvals(change.flatten(1))
            error += float(values[3:].square().sum())  # 3 ranks in 8 bits are 6 in 4
        else:
            assert name == "c.bias"
    assert lost(changes, small) < 0.6 * error / sum(float(change.square().sum()) for change in changes.values())


def test_the_file_is_small_and_is_what_was_made(base, weights, tmp_path):
    small = weights.shrunk(base)
    small.save(tmp_path / "one.safetensors")
    weights.save(tmp_path / "exact.safetensors")
    loaded = ConceptWeights.load(tmp_path / "one.safetensors")
    loaded.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert is_small(tmp_path / "one.safetensors") and not is_small(tmp_path / "exact.safetensors")
    assert loaded.touched == weights.touched and not loaded.changed
    sampling = Sampling(num_inference_steps=2)
    pictures = [generate(base, each, ["a <v> teddy bear"], 1, sampling)[0][0].tobytes() for each in (small, loaded)]
    assert pictures[0] == pictures[1]


def test_the_same_weights_give_the_same_bytes(base, weights, tmp_path):
    for name in ("one", "two"):
        weights.shrunk(base, 4).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_base_gets_the_change_and_loses_it_again(base, weights):
    small, own = weights.shrunk(base, 8), parameters_of(base)
    before = {name: parameter.clone() for name, parameter in own.items()}
    whole = small.whole(base)
    with small.applied(base):
        for name, parameter in own.items():
            expected = whole.changed.get(name, before[name])
            torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-6)
    assert all(torch.equal(parameter, before[name]) for name, parameter in own.items())
    assert small.alone.touched == set() and whole.whole(base) is whole


def test_what_trained_nothing_but_the_word_stays_as_it_is(base):
    word = ConceptWeights(prompt=PROMPT, embeddings=(torch.zeros(1, 16),))
    assert word.shrunk(base) is word


def test_another_base_is_refused(base, weights):
    other = SmallChange(
        layers={"unet.conv_in.weight": Layer(shape=(3, 5), kept=(0, 0, 0))},
        codes=torch.zeros(0, dtype=torch.uint8),
        steps=torch.zeros(0, dtype=torch.bfloat16),
    )
    wrong = ConceptWeights(prompt=PROMPT, embeddings=weights.embeddings, small=other)
    with pytest.raises(InputError, match=r"parameter unet\.conv_in\.weight does not fit"), wrong.applied(base):
        pass


@pytest.mark.parametrize(
    "layout",
    [
        {"unet.conv_in.weight": [[8, 4, 3, 3], [9, 0, 0]]},  # more bytes than there are
        {"unet.conv_in.weight": [[8, 4, 3, 3], [1, 0]]},
        {"unet.conv_in.weight": [[8, -4, 3, 3], [1, 0, 0]]},
        {"unet.conv_in.weight": [[], [1, 0, 0]]},
        {"unet.conv_in.weight": [[10**9, 10**9, 3, 3], [1, 0, 0]]},
        {"unet.conv_in.weight": 3},
        [],
        "text",
        None,
    ],
)
def test_a_layout_that_is_none_is_refused_before_anything_is_made_of_it(base, weights, tmp_path, layout):
    path = tmp_path / "concept.safetensors"
    weights.shrunk(base, 2).save(path)
    facts = {"format": 2, "placeholder_token": "<v>", "super_category": "turtle", "small": layout}
    save_file(load_file(path), path, metadata={"conceptbooth": json.dumps(facts)})
    with pytest.raises(InputError, match="no concept of a format"):
        ConceptWeights.load(path)

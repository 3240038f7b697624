"""A concept as a LoRA: the best of its rank, with what it loses, as diffusers and peft load it."""

import pytest
import torch
from diffusers import DiffusionPipeline

from model.bases.base import load_base
from model.bases.parameters import modules_of, parameters_of
from model.bases.prompt import ConceptPrompt
from model.exports.low_rank import as_diffusers_saves, low_rank
from model.weights.concept import ConceptWeights
from tests.model.tiny import POOLED


@pytest.fixture(scope="module", params=["sd2", "xl"])
def folder(request, base_folders):
    return base_folders[request.param]


@pytest.fixture(scope="module")
def base(folder):
    return load_base(str(folder))


@pytest.fixture(scope="module")
def weights(base):
    """A change of everything but the words."""
    generator = torch.Generator().manual_seed(0)
    changed = {
        name: parameter.detach() + 0.1 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in parameters_of(base).items()
        if "token_embedding" not in name
    }
    return ConceptWeights.of(
        ConceptPrompt("<owl>", "turtle"), [torch.zeros(1, e.width) for e in base.text_encoders], changed
    )


@pytest.mark.parametrize("rank", [2, 1000])
def test_what_the_library_makes_of_it_is_the_change_but_for_the_loss_that_was_told(
    base, weights, folder, tmp_path, rank
):
    if len(base.text_encoders) > 1:  # diffusers gives the projection, 12 wide here, the rank of the attention layers
        rank = min(rank, POOLED)
    found = low_rank(base, weights, rank)
    base.family.pipeline_class.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora(components=list(modules_of(base)))
    pipeline.unload_lora_weights()
    loaded = {
        f"{place}.{name}": parameter
        for place in modules_of(base)
        for name, parameter in getattr(pipeline, place).named_parameters()
    }
    assert {loss.parameter for loss in found.losses} == set(weights.changed)
    for loss in found.losses:
        error = float((loaded[loss.parameter] - weights.changed[loss.parameter]).detach().norm())
        assert error == pytest.approx(loss.error, rel=1e-3, abs=1e-4), loss.parameter
    lost = [loss for loss in found.losses if loss.relative > 1e-3]
    if rank == 1000:
        assert all(loss.relative == 1 for loss in lost)
        ends = ("bias", "embeddings.position_embedding.weight")
        assert all(loss.parameter.endswith(ends) or "norm" in loss.parameter for loss in lost)


def test_a_higher_rank_loses_less(base, weights):
    relative = [low_rank(base, weights, rank).relative for rank in (1, 4, 16)]
    assert relative == sorted(relative, reverse=True)
    assert len(set(relative)) == 3
    assert 0 < relative[-1] < relative[0] < 1

"""A concept as a LoRA: the best of its rank, with what it loses, as diffusers and peft load it."""

import pytest
import torch
from diffusers import StableDiffusionPipeline

from model.base import load_base
from model.low_rank import as_diffusers_saves, low_rank
from model.parameters import parameters_of
from model.prompt import ConceptPrompt
from model.weights import ConceptWeights


@pytest.fixture(scope="module")
def base(base_folder):
    return load_base(str(base_folder))


@pytest.fixture(scope="module")
def weights(base):
    """A change of everything but the words."""
    generator = torch.Generator().manual_seed(0)
    changed = {
        name: parameter.detach() + 0.1 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in parameters_of(base).items()
        if "token_embedding" not in name
    }
    return ConceptWeights.of(ConceptPrompt("<owl>", "turtle"), [torch.zeros(1, 16)], changed)


@pytest.mark.parametrize("rank", [2, 1000])
def test_what_the_library_makes_of_it_is_the_change_but_for_the_loss_that_was_told(
    base, weights, base_folder, tmp_path, rank
):
    found = low_rank(base, weights, rank)
    StableDiffusionPipeline.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    pipeline = StableDiffusionPipeline.from_pretrained(base_folder)
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora(components=["unet", "text_encoder"])
    pipeline.unload_lora_weights()
    loaded = {
        f"{place}.{name}": parameter
        for place in ("unet", "text_encoder")
        for name, parameter in getattr(pipeline, place).named_parameters()
    }
    assert {loss.parameter for loss in found.losses} == set(weights.changed)
    for loss in found.losses:
        error = float((loaded[loss.parameter] - weights.changed[loss.parameter]).detach().norm())
        assert error == pytest.approx(loss.error, rel=1e-3, abs=1e-4), loss.parameter
    lost = [loss for loss in found.losses if loss.relative > 1e-3]
    if rank == 1000:
        assert all(loss.relative == 1 for loss in lost)
        ends = ("bias", "text_encoder.embeddings.position_embedding.weight")
        assert all(loss.parameter.endswith(ends) or "norm" in loss.parameter for loss in lost)


def test_a_higher_rank_loses_less(base, weights):
    relative = [low_rank(base, weights, rank).relative for rank in (1, 4, 16)]
    assert relative == sorted(relative, reverse=True)
    assert len(set(relative)) == 3
    assert 0 < relative[-1] < relative[0] < 1

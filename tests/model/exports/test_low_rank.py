"""A concept as a LoRA: the best of its rank, with what it loses, as diffusers and peft load it."""

from collections import Counter

import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.utils.peft_utils import get_peft_kwargs
from safetensors.torch import load_file

from model.bases.base import load_base
from model.bases.parameters import modules_of, parameters_of
from model.bases.prompt import ConceptPrompt
from model.exports.kohya_names import kohya_lora
from model.exports.low_rank import as_diffusers_saves, low_rank
from model.weights.concept import ConceptWeights
from model.weights.lora import lora_layers


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


def scale_of_old_readers(ranks: dict[str, int]) -> dict[str, float]:
    """How strongly diffusers before 0.40 applies each layer without alphas (`get_peft_kwargs` of 0.33 to 0.39).

    The most frequent rank is that of all layers which `rank_pattern` does not name; alpha is the first layer's rank.
    """
    alpha = next(iter(ranks.values()))
    usual = Counter(ranks.values()).most_common()[0][0]
    pattern = {layer: rank for layer, rank in ranks.items() if rank != usual}
    return {layer: alpha / pattern.get(layer, usual) for layer in ranks}


def test_old_and_new_readers_apply_every_layer_of_the_file_as_it_is(base, weights, tmp_path):
    found = low_rank(base, weights, 8)
    ranks = {len(tensor) for name, tensor in found.layers.items() if name.endswith("lora_A.weight")}
    assert len(ranks) > 1  # conv_out has four channels
    base.family.pipeline_class.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    written = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    for place in modules_of(base):
        own = {
            name.removeprefix(f"{place}."): tensor for name, tensor in written.items() if name.startswith(f"{place}.")
        }
        ranks_by_layer = {name: tensor.shape[1] for name, tensor in own.items() if "lora_B" in name}
        assert set(scale_of_old_readers(ranks_by_layer).values()) == {1.0}
        new = get_peft_kwargs(ranks_by_layer, None, own, is_unet=place == "unet")
        assert (new["r"], new["lora_alpha"], new["rank_pattern"], new["alpha_pattern"]) == (8, 8, {}, {})
    for name, tensor in found.layers.items():  # zeros were added, and nothing else changed
        place, _, layer = name.partition(".")
        inner = (
            layer if place == "unet" or layer.startswith(("text_model.", "text_projection.")) else f"text_model.{layer}"
        )
        wide = written[f"{place}.{inner}"]
        axis = 0 if "lora_A" in name else 1
        assert torch.equal(wide.narrow(axis, 0, tensor.shape[axis]), tensor)
        assert not wide.narrow(axis, tensor.shape[axis], 8 - tensor.shape[axis]).any()
    text = [name for name in written if name.startswith("text_encoder.")]
    assert text and all(name.startswith("text_encoder.text_model.") for name in text)  # transformers 4 knows no others


def test_kohyas_names_are_read_back_to_the_same_change(base, weights):
    found = low_rank(base, weights, 8)
    tensors = kohya_lora(base, found.layers)
    names = {name.partition(".")[0] for name in tensors}
    assert len(tensors) == 3 * len(names) == 3 * len(lora_layers(found.layers))
    assert {float(tensor) for name, tensor in tensors.items() if name.endswith(".alpha")} == {8.0}
    if len(base.text_encoders) > 1:
        assert {"lora_unet_input_blocks_0_0", "lora_unet_label_emb_0_0", "lora_te2_text_projection"} <= names
    else:
        assert {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", "lora_unet_conv_out"} <= names
    read, alphas = base.family.pipeline_class.lora_state_dict(dict(tensors), unet_config=base.denoiser.config)
    assert set(alphas.values()) == {8.0}
    expected = as_diffusers_saves(found.layers)
    assert len(read) == sum(map(len, expected.values()))
    sums = [sorted(float(tensor.sum()) for tensor in part) for part in (read.values(), flat(expected))]
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)


def flat(arguments):
    return [tensor for tensors in arguments.values() for tensor in tensors.values()]


def test_a_higher_rank_loses_less(base, weights):
    relative = [low_rank(base, weights, rank).relative for rank in (1, 4, 16)]
    assert relative == sorted(relative, reverse=True)
    assert len(set(relative)) == 3
    assert 0 < relative[-1] < relative[0] < 1

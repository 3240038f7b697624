"""LoRAs by peft: what they train, that stages stack exactly, and that nothing of one is lost on the way out."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from model.bases.parameters import modules_of, parameters_of
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.exports.low_rank import as_diffusers_saves, low_rank, restored
from model.methods.presets import get_method
from model.training.train import train_stage
from model.weights.concept import ConceptWeights
from model.weights.lora import adapted, joined_loras, lora_change, lora_layers, matrix_layers

LORA = {"lora_rank": 2, "lora_alpha": 6.0, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(name, previous=None, **settings):
        stage = make_stage(name, **settings)
        return train_stage(base=base, stage=stage, images=images, prompt=prompt, previous=previous, seed=0).weights

    return run


@pytest.fixture(scope="module")
def first(train):
    return train("embedding")


@pytest.fixture(scope="module")
def second(train, first):
    return train("cross_attention", first, **LORA)


@pytest.fixture(scope="module")
def third(train, second):
    """Another rank than the stage before."""
    return train("unet", second, **(LORA | {"lora_rank": 3}))


def values(base):
    return {name: parameter.detach().clone() for name, parameter in parameters_of(base).items()}


def merged(base, weights):
    with weights.applied(base):
        return values(base)


def test_only_a_lora_of_the_chosen_layers_is_trained_and_stored(base, second, third):
    assert second.changed == {} and third.changed == {}
    layers = {layer for layer in matrix_layers(base) if ".attn2." in layer}
    assert set(lora_layers(second.lora)) == layers and len(layers) == 4 * 7
    assert set(lora_layers(third.lora)) == {layer for layer in matrix_layers(base) if layer.startswith("unet.")}
    for layer in layers:
        assert second.lora[f"{layer}.lora_A.weight"].shape[0] == 2
        assert second.lora[f"{layer}.lora_B.weight"].abs().max() > 0
    size, whole = (
        sum(tensor.nbytes for tensor in tensors) for tensors in (second.lora.values(), values(base).values())
    )
    assert size < 0.2 * whole


def test_the_base_is_as_before_module_by_module(base, train, first):
    before, modules = values(base), {place: dict(module.named_modules()) for place, module in modules_of(base).items()}
    attributes = set(vars(base.denoiser))
    train("unet", first, **LORA)
    with pytest.raises(KeyboardInterrupt), adapted(base, ["unet.conv_in"], rank=1, alpha=1.0, seed=0) as parameters:
        assert parameters.keys() == {"unet.conv_in.lora_A.weight", "unet.conv_in.lora_B.weight"}
        raise KeyboardInterrupt
    for place, module in modules_of(base).items():
        assert {name: id(part) for name, part in module.named_modules()} == {
            n: id(m) for n, m in modules[place].items()
        }
        assert not any(part.training for part in module.modules())
    assert set(vars(base.denoiser)) == attributes
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters_of(base).items())
    assert not any(p.requires_grad or p.grad is not None for p in parameters_of(base).values())


def test_a_stage_begins_exactly_where_the_one_before_has_stopped(base, train, second):
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "max_train_steps": 1}
    whole = merged(base, second)
    for later in (train("unet", second, **(LORA | still)), train("unet", second, **still)):
        for name, value in merged(base, later).items():
            torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-6)


def test_the_loras_of_two_stages_are_one(base, second, third):
    own = second.lora
    layer = next(layer for layer in lora_layers(own))
    assert third.lora[f"{layer}.lora_A.weight"].shape[0] == 2 + 3
    random = {
        name: torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)) for name, tensor in own.items()
    }
    both = joined_loras(own, random)
    torch.testing.assert_close(lora_change(both, layer), lora_change(own, layer) + lora_change(random, layer))
    assert any(not torch.equal(value, merged(base, second)[name]) for name, value in merged(base, third).items())


def test_a_layer_that_is_trained_itself_takes_up_its_lora(base, train, second, third):
    whole = train("cross_attention", third)
    assert {name for name in whole.changed if ".attn2." not in name} == set()
    assert set(lora_layers(whole.lora)) == {layer for layer in lora_layers(third.lora) if ".attn2." not in layer}
    over = train("unet", train("cross_attention", train("embedding")), **LORA)
    assert all(".attn2." in name for name in over.changed) and len(lora_layers(over.lora)) > 20


def test_the_scale_of_peft_is_in_what_is_stored(base, images, prompt, make_stage, first):
    """What the UNet predicts with peft's own adapters is what it predicts with the stored LoRA in its weights."""
    noisy, text = torch.randn(2, 4, 8, 8), torch.randn(2, 16, 16)
    seen = []

    def look(step):
        if step.step == 3:
            with torch.no_grad():
                seen.append(base.denoiser(noisy, torch.tensor([5, 700]), text).sample)

    stage = make_stage("unet", **LORA)
    weights = train_stage(
        base=base, stage=stage, images=images, prompt=prompt, previous=first, seed=0, on_step=look
    ).weights
    with torch.no_grad(), weights.applied(base):
        torch.testing.assert_close(
            base.denoiser(noisy, torch.tensor([5, 700]), text).sample, seen[0], rtol=0, atol=1e-5
        )


def test_same_seed_same_bits_whatever_the_global_generator_says(train, first):
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        found.append(train("unet", first, **LORA).lora)
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_saved_and_loaded_bit_for_bit(third, tmp_path):
    third.save(tmp_path / "one.safetensors")
    loaded = ConceptWeights.load(tmp_path / "one.safetensors")
    assert loaded.changed == {} and loaded.lora.keys() == third.lora.keys()
    assert all(torch.equal(loaded.lora[name], tensor) for name, tensor in third.lora.items())


def test_a_lora_of_another_base_is_refused(base, second):
    wrong = {name: tensor[:, :1] if name.endswith("lora_A.weight") else tensor for name, tensor in second.lora.items()}
    with pytest.raises(InputError, match="does not fit base model"):
        dataclasses.replace(second, lora=wrong).check_fits(base)


def test_diffusers_loads_it_without_any_loss(base, base_folders, third, prompt, tmp_path):
    found = low_rank(base, third)
    assert {loss.error for loss in found.losses} == {0.0} and found.relative == 0.0 and found.rank == 5
    assert all(torch.equal(found.layers[name], tensor) for name, tensor in third.lora.items())
    StableDiffusionPipeline.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    pipeline = StableDiffusionPipeline.from_pretrained(base_folders["sd2"])
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora(components=["unet"])
    pipeline.unload_lora_weights()
    whole = merged(base, third)
    for name, parameter in pipeline.unet.named_parameters():
        torch.testing.assert_close(parameter.detach(), whole[f"unet.{name}"], rtol=0, atol=1e-6)
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=2)
    ours, theirs = (generate(base, w, [prompt.text], 1, sampling)[0][0] for w in (third, restored(third, found)))
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_rank_below_its_own_cuts_it(base, third):
    cut = low_rank(base, third, 1)
    assert cut.rank == 1 and cut.relative > 0


def test_the_text_encoder_has_one_too(base, train, first):
    both = train("unet", first, train_text_encoder=True, **LORA)
    assert both.changed == {}
    text = [layer for layer in lora_layers(both.lora) if layer.startswith("text_encoder.")]
    assert len(text) == 2 * 6  # of each layer query, key, value, output and two of the perceptron


def test_half_a_lora_is_refused():
    for fields, said in (
        ({"unet": {"lora_rank": 4}}, r"unet\.lora_rank = 4, lora_alpha = 0\.0: a LoRA has both"),
        ({"unet": {"lora_alpha": 4}}, r"unet\.lora_rank = 0, lora_alpha = 4\.0"),
        ({"embedding": {"lora_rank": 4, "lora_alpha": 4}}, r"embedding\.lora_rank = 4: a LoRA changes layers"),
    ):
        with pytest.raises(InputError, match=said):
            get_method("attndreambooth", "toyworld", fields)

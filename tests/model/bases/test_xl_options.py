"""What stages may train beside the UNet, on Stable Diffusion XL: both text encoders, and LoRAs of all three models."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from model.bases.base import load_base
from model.bases.parameters import parameters_of
from model.drawing.sample import generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.exports.diffusers_pipeline import concept_pipeline
from model.exports.low_rank import as_diffusers_saves, low_rank
from model.training.train import train_stage
from model.weights.lora import lora_layers

RARE = {"starts_from": "rare_token", "rare_token": "q", "attention_mean_weight": 0.0, "attention_variance_weight": 0.0}
TEXT = {"train_text_encoder": True, "learning_rate": 1e-2, **RARE}


@pytest.fixture(scope="module")
def base(bases):
    return bases["xl"]


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(drawn=(), **settings):
        return train_stage(
            base=base,
            stage=make_stage("unet", **settings),
            images=images,
            class_images=drawn,
            prompt=prompt,
            previous=None,
            seed=0,
        )

    return run


def test_both_text_encoders_are_trained_and_the_library_draws_with_them(base, base_folders, train, prompt):
    before = {name: parameter.detach().clone() for name, parameter in parameters_of(base).items()}
    trained = train(**TEXT).weights
    text = {name for name in before if name.startswith("text_encoder") and "token_embedding" not in name}
    assert trained.text.keys() == text and any(name.startswith("text_encoder_2.") for name in text)
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters_of(base).items())
    for place in ("text_encoder.", "text_encoder_2."):
        assert any(not torch.equal(t, before[name]) for name, t in trained.text.items() if name.startswith(place))
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=4)
    ((ours,),) = generate(base, trained, [prompt.text], 1, sampling)
    pipeline = concept_pipeline(load_base(str(base_folders["xl"])), trained)
    pipeline.set_progress_bar_config(disable=True)
    (theirs,) = pipeline(
        prompt.text, latents=initial_noise(base, 0, 0), guidance_scale=3.0, num_inference_steps=4
    ).images
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_diffusers_loads_a_lora_of_all_three_without_loss(base, base_folders, train, tmp_path):
    trained = train(lora_rank=2, lora_alpha=4.0, **TEXT).weights
    found = low_rank(base, trained)
    assert trained.changed == {} and found.relative == 0.0
    assert {layer.split(".")[0] for layer in lora_layers(found.layers)} == {"unet", "text_encoder", "text_encoder_2"}
    StableDiffusionXLPipeline.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    pipeline = StableDiffusionXLPipeline.from_pretrained(base_folders["xl"])
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora(components=["unet", "text_encoder", "text_encoder_2"])
    pipeline.unload_lora_weights()
    with trained.applied(base):
        for name, parameter in parameters_of(base).items():
            place, _, inner = name.partition(".")
            theirs = getattr(pipeline, place).get_parameter(inner).detach()
            torch.testing.assert_close(theirs, parameter.detach(), rtol=0, atol=1e-6, msg=name)


def test_class_images_have_their_own_sizes_and_pooled_state(train, images):
    drawn = [image.resize((16, 16)) for image in images[:2]]
    without, kept = train(**RARE), train(drawn=drawn, prior_weight=1.0, class_images=2, **RARE)
    assert kept.curve[0].prior_loss > 0
    assert kept.curve[0].loss == pytest.approx(without.curve[0].loss + kept.curve[0].prior_loss, rel=1e-5)

"""A stage that trains the text encoder beside the UNet: what changes, what stays, and who reads it afterwards."""

import numpy as np
import pytest
import torch

from model.bases.base import load_base
from model.bases.parameters import parameters_of
from model.drawing.sample import generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.exports.diffusers_pipeline import concept_pipeline
from model.methods.presets import get_method
from model.training.train import train_stage
from model.weights.concept import ConceptWeights

RARE = {"starts_from": "rare_token", "rare_token": "q", "attention_mean_weight": 0.0, "attention_variance_weight": 0.0}
SAMPLING = Sampling(guidance_scale=3.0, num_inference_steps=4)


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(name="unet", previous=None, drawn=(), **settings):
        stage = make_stage(name, **settings)
        return train_stage(
            base=base, stage=stage, images=images, class_images=drawn, prompt=prompt, previous=previous, seed=0
        ).weights

    return run


@pytest.fixture(scope="module")
def trained(train) -> ConceptWeights:
    return train(train_text_encoder=True, learning_rate=1e-2, **RARE)


def snapshot(base):
    return {name: parameter.detach().clone() for name, parameter in parameters_of(base).items()}


def layers_of_text(base):
    return {name for name in parameters_of(base) if name.startswith("text_encoder") and "token_embedding" not in name}


def test_all_but_the_words_changes_and_the_base_is_as_before(base, train):
    before = snapshot(base)
    trained = train(train_text_encoder=True, **RARE)
    assert trained.text.keys() == layers_of_text(base)
    assert len(trained.unet) == len(list(base.denoiser.parameters()))
    assert all(
        not torch.equal(tensor, before[name]) for name, tensor in trained.text.items() if "k_proj.bias" not in name
    )
    assert all(torch.equal(parameter, before[name]) for name, parameter in parameters_of(base).items())
    assert not any(p.requires_grad or p.grad is not None for p in parameters_of(base).values())
    row = base.tokenizers[0].tokenizer("q", add_special_tokens=False)["input_ids"][0]
    assert torch.equal(trained.embeddings[0][0], base.text_encoders[0].embeddings[row])


def test_frozen_is_the_default_and_stores_none_of_it(train):
    assert train(**RARE).text == {}


def test_a_later_stage_keeps_what_it_does_not_train(base, train, trained):
    later = train("cross_attention", trained)
    assert later.text.keys() == trained.text.keys() and later.unet.keys() == trained.unet.keys()
    assert all(torch.equal(tensor, trained.text[name]) for name, tensor in later.text.items())
    assert all(torch.equal(t, trained.unet[name]) == (".attn2." not in name) for name, t in later.unet.items())


def test_the_class_prompt_is_read_by_it_too(train, images):
    """The class images' loss reaches the text encoder."""
    drawn = [image.resize((16, 16)) for image in images[:2]]
    settings = {"train_text_encoder": True, "max_train_steps": 2, **RARE}
    without, kept = train(**settings).text, train(drawn=drawn, prior_weight=1.0, class_images=2, **settings).text
    assert any(not torch.equal(tensor, without[name]) for name, tensor in kept.items())


def test_pictures_are_drawn_by_the_trained_text_encoder(base, trained, prompt):
    frozen = ConceptWeights(prompt=prompt, embeddings=trained.embeddings, unet=trained.unet)
    (ours,), (theirs,) = (generate(base, weights, [prompt.text], 1, SAMPLING)[0] for weights in (trained, frozen))
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() > 0


def test_the_library_draws_the_same_from_its_pipeline(base_folders, trained, prompt):
    base = load_base(str(base_folders["sd2"]))
    ((ours,),) = generate(base, trained, [prompt.text], 1, SAMPLING)
    noise = initial_noise(base, SAMPLING.seed, 0)
    pipeline = concept_pipeline(base, trained)
    pipeline.set_progress_bar_config(disable=True)
    (theirs,) = pipeline(prompt.text, latents=noise, guidance_scale=3.0, num_inference_steps=4).images
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_it_goes_with_the_unet_alone():
    with pytest.raises(InputError, match=r"cross_attention\.train_text_encoder = true: .* trains the cross attention"):
        get_method("attndreambooth", "toyworld", {"cross_attention": {"train_text_encoder": True}})
    with pytest.raises(InputError, match=r"unet\.train_text_encoder = 1: true or false is needed"):
        get_method("dreambooth", "toyworld", {"unet": {"train_text_encoder": 1}})

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from model.bases.tokens import tokenize, word_places
from model.drawing.attention_maps import attention_maps, overlay
from model.drawing.picture_size import PictureSize
from model.drawing.sample import generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.errors import InputError, WorkFailed
from model.training.train import train_stage
from tests.model.diffusion.test_attention import ExplicitSoftmax

SAMPLING = Sampling(guidance_scale=3.0, num_inference_steps=5, seed=4, batch_size=4)
PROMPTS = ["a photo of a <v> turtle", "a <v> turtle on the beach", "a photo of a <v> turtle"]


@pytest.fixture(scope="module")
def concept(base, images, prompt, make_stage):
    first = train_stage(
        base=base, stage=make_stage("embedding"), images=images, prompt=prompt, previous=None, seed=0
    ).weights
    stage = make_stage("unet", learning_rate=1e-2)
    return train_stage(base=base, stage=stage, images=images, prompt=prompt, previous=first, seed=0).weights


def arrays(pictures):
    return np.stack([[np.asarray(picture).astype(int) for picture in row] for row in pictures])


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_pictures_are_those_of_the_pipeline_in_diffusers(bases, kind, guidance_scale):
    base = bases[kind]
    pipeline = StableDiffusionPipeline(
        vae=base.vae,
        text_encoder=base.text_encoders[0].model,
        tokenizer=base.tokenizers[0].tokenizer,
        unet=base.denoiser,
        scheduler=DPMSolverMultistepScheduler.from_config(base.noise_scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    prompts = ["a photo of a teapot on the beach", "a red box"]
    options = {"guidance_scale": guidance_scale, "num_inference_steps": 6}
    expected = pipeline(prompts, latents=torch.cat([initial_noise(base, 3, 0)] * 2), **options).images
    found = generate(base, None, prompts, 1, Sampling(seed=3, **options))
    assert np.abs(arrays(found)[:, 0] - arrays([expected])[0]).max() <= 1
    assert arrays(found).std() > 5, "not a flat picture"


def test_a_negative_prompt_and_another_size_give_what_diffusers_draws(base):
    pipeline = StableDiffusionPipeline(
        vae=base.vae,
        text_encoder=base.text_encoders[0].model,
        tokenizer=base.tokenizers[0].tokenizer,
        unet=base.denoiser,
        scheduler=DPMSolverMultistepScheduler.from_config(base.noise_scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    size, options = PictureSize(24, 16), {"guidance_scale": 4.0, "num_inference_steps": 6}
    text, unwanted = "a photo of a teapot on the beach", "a red box"
    noise = initial_noise(base, 3, 0, size)
    assert noise.shape[2:] == (8, 12)
    expected = pipeline(text, negative_prompt=unwanted, latents=noise, height=16, width=24, **options).images
    found = generate(base, None, [text], 1, Sampling(seed=3, **options), negative_prompt=unwanted, size=size)
    assert np.abs(arrays(found) - arrays([expected])).max() <= 1
    with pytest.raises(InputError, match="steps of 2"):
        generate(base, None, [text], 1, SAMPLING, size=PictureSize(21, 16))


def test_noise_is_decided_by_seed_and_index_alone(base, concept):
    pictures = arrays(generate(base, concept, PROMPTS, 3, SAMPLING))
    again = arrays(generate(base, concept, PROMPTS, 3, SAMPLING))
    assert np.array_equal(pictures, again)
    alone = arrays(generate(base, concept, PROMPTS[1:2], 2, dataclasses.replace(SAMPLING, batch_size=1)))
    assert np.abs(pictures[1, :2] - alone[0]).max() <= 1  # another batch size may round another way
    assert np.abs(pictures[0] - pictures[2]).max() <= 1, "the same prompt at another place"
    assert np.abs(pictures[0, 0] - pictures[0, 1]).mean() > 5, "another index"
    other = arrays(generate(base, concept, PROMPTS[:1], 1, dataclasses.replace(SAMPLING, seed=5)))
    assert np.abs(pictures[0, 0] - other[0, 0]).mean() > 5, "another seed"


def test_the_concept_is_drawn_and_the_base_left_alone(base, concept):
    untrained = arrays(generate(base, None, ["a photo of a turtle"], 1, SAMPLING))
    drawn = arrays(generate(base, concept, PROMPTS[:1], 1, SAMPLING))
    assert np.abs(untrained - drawn).mean() > 1
    assert np.array_equal(arrays(generate(base, None, ["a photo of a turtle"], 1, SAMPLING)), untrained)
    embedding_alone = dataclasses.replace(concept, unet={})
    assert np.abs(arrays(generate(base, embedding_alone, PROMPTS[:1], 1, SAMPLING)) - drawn).mean() > 0.5


def test_each_picture_is_told_once(base, concept):
    told = []
    pictures = generate(base, concept, PROMPTS, 3, SAMPLING, on_image=lambda *facts: told.append(facts))
    assert [(prompt, image) for prompt, image, _ in told] == [(p, i) for p in range(3) for i in range(3)]
    assert all(pictures[prompt][image] is picture for prompt, image, picture in told)


def test_all_wrong_options_and_prompts_together(base, concept):
    long = "a photo of a <v> turtle " + "in the snow " * 5
    with pytest.raises(InputError) as caught:
        generate(base, concept, [PROMPTS[0], long, long], 1, Sampling(guidance_scale=0.0, num_inference_steps=0))
    assert len(caught.value.problems) == 4


def test_too_little_memory_says_what_to_turn(base, concept):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError  # no device that can really run out is at hand

    hook = base.denoiser.register_forward_pre_hook(out_of_memory)
    try:
        with pytest.raises(WorkFailed, match=r"not enough memory on cpu; sampling\.batch_size below 4 needs less"):
            generate(base, concept, PROMPTS, 3, SAMPLING)
        with pytest.raises(WorkFailed, match=r"attention maps: not enough memory on cpu; .*device with more memory"):
            attention_maps(base, concept, SAMPLING)
    finally:
        hook.remove()


def test_attention_maps_agree_with_explicit_softmax(base, concept):
    maps = attention_maps(base, concept, SAMPLING, word="photo", image_index=1)
    expected_picture = generate(base, concept, [concept.prompt.text], 2, dataclasses.replace(SAMPLING, batch_size=1))[
        0
    ][1]
    assert np.abs(arrays([[maps.image]]) - arrays([[expected_picture]])).max() <= 1

    plain, before = ExplicitSoftmax(), base.denoiser.attn_processors
    base.denoiser.set_attn_processor({n: plain if ".attn2." in n else kept for n, kept in before.items()})
    try:
        generate(base, concept, [concept.prompt.text], 2, dataclasses.replace(SAMPLING, batch_size=1))
        probabilities = plain.probabilities[len(plain.probabilities) // 2 :]  # of the second picture
    finally:
        base.denoiser.set_attn_processor(before)
    prompt = tokenize(base.tokenizers, concept.prompt.text, concept.prompt)
    place, (photo,) = prompt.placeholder[0], word_places(base.tokenizers, prompt, "photo")
    total = np.zeros((3, 8, 8))
    for layer in probabilities:
        side = int(layer.shape[2] ** 0.5)
        own = layer[1].mean(dim=0)[:, [place, place + 1, photo]].T.reshape(1, 3, side, side)
        total += torch.nn.functional.interpolate(own, size=(8, 8), mode="bilinear")[0].numpy()
    for found, raw in zip((maps.placeholder, maps.super_category, maps.word), total, strict=True):
        assert found.shape == (8, 8)
        assert (found.min(), found.max()) == (0, 1)
        np.testing.assert_allclose(found, (raw - raw.min()) / (raw.max() - raw.min()), atol=1e-3)


def test_overlay_is_bright_where_attention_is(images):
    attention = np.zeros((8, 8), dtype=np.float32)
    attention[:4] = 1
    shown = np.asarray(overlay(images[0], attention)).astype(int)
    assert shown.shape == np.asarray(images[0]).shape
    assert shown[:6].mean() > shown[-6:].mean() + 40

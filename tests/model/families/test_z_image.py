"""Z-Image by our own means against diffusers' own pipeline, on a random base of its shape."""

import copy
import math

import numpy as np
import pytest
import torch
from diffusers import ZImagePipeline
from PIL import Image
from tokenizers import AddedToken

from model.bases.base import load_base
from model.bases.base_files import base_size_step
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import check_lengths, tokenize
from model.diffusion.latents import encode_views, to_pixels
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_nothing, encode_text, initial_embeddings
from model.drawing.picture_size import PictureSize
from model.drawing.sample import denoise, generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.families.prompt_embeds import PromptEmbeds
from model.families.z_image import Z_IMAGE
from tests.model.tiny_z_image import SIDE, WIDTH

SHORT = Sampling(num_inference_steps=2, guidance_scale=5.0)
PROMPTS = ["a photo of a turtle", "a dog's box, in the snow!", "", "a red zebra (small) under a tree \u00e9t\u00e9"]


@pytest.fixture(scope="module")
def base(z_image_folder):
    return load_base(str(z_image_folder))


@pytest.fixture(scope="module")
def pipeline(z_image_folder):
    found = ZImagePipeline.from_pretrained(z_image_folder)
    found.set_progress_bar_config(disable=True)
    return found


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def states_of(text: PromptEmbeds) -> list[torch.Tensor]:
    return [states[:length] for states, length in zip(text.states, text.lengths.tolist(), strict=True)]


@torch.no_grad()
def test_prompt_states_are_the_pipelines(base, pipeline):
    found = states_of(encode_text(base, [tokenize(base.tokenizers, text) for text in PROMPTS]))
    expected, _ = pipeline.encode_prompt(list(PROMPTS), do_classifier_free_guidance=False)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        close(ours, theirs)
    close(states_of(encode_nothing(base))[0], expected[2])


def test_layers_that_are_never_read_do_not_run(base):
    ran = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(base.text_encoders[0].model.layers)
    ]
    hooks.append(base.text_encoders[0].model.norm.register_forward_hook(lambda *_: ran.append("norm")))
    try:
        encode_nothing(base)
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == [0, 1, 2]


@torch.no_grad()
@pytest.mark.parametrize("category", ["dog", "teddy bear", "turtle cup"])
@pytest.mark.parametrize("text", ["a photo of a {} in the snow", "a {}'s box", "the ({}), in snow", "a red {}."])
def test_the_words_states_are_those_of_a_token_that_takes_the_space_before_it(base, pipeline, text, category):
    prompt, row = ConceptPrompt("<v>", category), torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy({"tokenizer": pipeline.tokenizer, "text_encoder": pipeline.text_encoder})
    other["tokenizer"].add_tokens([AddedToken("<v>", lstrip=True)])
    place = other["tokenizer"].convert_tokens_to_ids("<v>")
    other["text_encoder"].get_input_embeddings().weight[place] = row[0]
    expected, _ = ZImagePipeline(**(pipeline.components | other)).encode_prompt(
        prompt.fill(text), do_classifier_free_guidance=False
    )
    tokenized = tokenize(base.tokenizers, prompt.fill(text), prompt)
    words = tokenized.ids[0][tokenized.super_category[0] : tokenized.super_category[-1] + 1]
    assert base.tokenizers[0].tokenizer.decode(words) == f" {category}"
    close(states_of(encode_text(base, [tokenized], [row]))[0], expected[0])


def test_the_embedding_starts_from_the_word_as_it_stands_in_a_sentence(base, make_stage):
    reader, rows = base.tokenizers[0], base.text_encoders[0].embeddings
    inside, alone = reader.ids(" dog"), reader.ids("dog")
    assert len(inside) == 1 and inside != alone
    (found,) = initial_embeddings(base, make_stage("embedding"), ConceptPrompt("<v>", "dog"))
    assert torch.equal(found[0], rows[inside[0]])


def test_gradients_reach_the_learned_row_and_nothing_else(base):
    row = torch.nn.Parameter(torch.randn(1, WIDTH))
    before, prompt = base.text_encoders[0].embeddings.clone(), ConceptPrompt("<v>", "turtle")
    encode_text(base, [tokenize(base.tokenizers, prompt.text, prompt)], [row]).states.square().sum().backward()
    assert row.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in base.text_encoders[0].model.parameters())
    assert torch.equal(base.text_encoders[0].embeddings, before)


def test_prompts_that_are_too_long_are_refused(base):
    prompt = ConceptPrompt("<v>", "turtle")
    room = base.tokenizers[0].room
    longest = "a {}" + " in" * (room - 3)
    check_lengths(base.tokenizers, prompt, [longest])
    assert len(tokenize(base.tokenizers, prompt.fill(longest), prompt).ids[0]) == 512
    with pytest.raises(InputError, match=f"{room + 1} tokens, the base takes {room}"):
        check_lengths(base.tokenizers, prompt, [longest + " in"])


def test_a_prompt_that_begins_with_the_word_leaves_the_template_whole(base):
    """The exported word, which takes what is blank before it, takes the template's line break as well."""
    prompt, reader = ConceptPrompt("<v>", "dog"), base.tokenizers[0]
    ids = tokenize(base.tokenizers, "<v> dog's box", prompt).ids[0]
    assert ids[: len(reader.before)] == reader.before and ids[-len(reader.after) :] == reader.after


def picture(side=SIDE) -> Image.Image:
    generator = torch.Generator().manual_seed(4)
    return Image.fromarray(torch.randint(256, (side, side, 3), dtype=torch.uint8, generator=generator).numpy())


def test_latents_of_a_picture_are_its_mode_shifted_and_scaled(base, pipeline, make_stage):
    stage = make_stage("unet", augmented_views=1, rotation_probability=0.0, flip_probability=0.0)
    latents, _ = encode_views(base, [picture()], stage, seed=0).sample(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        mode = pipeline.vae.encode(to_pixels([picture()])).latent_dist.mode()
    expected = (mode - pipeline.vae.config.shift_factor) * pipeline.vae.config.scaling_factor
    close(latents, expected.expand(2, -1, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("prompt", ["a photo of a turtle", "a red dog in the snow " * 6])
def test_the_latents_of_a_whole_picture_are_the_pipelines(base, pipeline, guidance, prompt):
    noise, steps = initial_noise(base, 3, 0), 4
    sampling = Sampling(guidance_scale=guidance, num_inference_steps=steps)
    text = encode_text(base, [tokenize(base.tokenizers, prompt)])
    found = denoise(base, noise, text, encode_nothing(base), sampling)
    expected = pipeline(
        prompt,
        latents=noise,
        height=SIDE,
        width=SIDE,
        num_inference_steps=steps,
        guidance_scale=Z_IMAGE.pipeline_guidance(guidance),
        output_type="latent",
    ).images
    close(found, expected)


@torch.no_grad()
def test_prompts_of_different_lengths_beside_each_other_are_each_as_alone(base):
    texts = [
        encode_text(base, [tokenize(base.tokenizers, text)]) for text in ("a dog", "a red turtle in the snow " * 7)
    ]
    noisy, times = torch.randn(2, *base.latent_shape), torch.tensor([300.0, 900.0])
    together = predict(base, noisy, times, PromptEmbeds.joined(texts), base.time_ids.expand(2, -1))
    for number, text in enumerate(texts):
        alone = predict(base, noisy[number : number + 1], times[number], text, base.time_ids)
        torch.testing.assert_close(together[number : number + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_objective_is_the_published_scripts(base):
    """Its lines, with its names: examples/dreambooth/train_dreambooth_lora_z_image.py of diffusers."""
    scheduler = base.noise_scheduler
    times = base.family.drawn_timesteps(scheduler, 64, torch.Generator().manual_seed(0))
    indices = torch.randint(1000, (64,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(times, scheduler.timesteps[indices])
    sigmas = torch.arange(1000, 0, -1) / 1000
    torch.testing.assert_close(scheduler.timesteps, 1000 * 6 * sigmas / (1 + 5 * sigmas))
    model_input, noise = torch.randn(2, 64, *base.latent_shape).unbind()
    step_sigmas = scheduler.sigmas[indices].view(-1, 1, 1, 1)
    noisy, target = base.family.noised(scheduler, model_input, noise, times)
    torch.testing.assert_close(noisy, (1.0 - step_sigmas) * model_input + step_sigmas * noise)
    assert torch.equal(target, noise - model_input)


def test_the_model_is_told_the_time_the_other_way_round_and_its_output_is_turned(base, pipeline):
    noisy, times = torch.randn(1, *base.latent_shape), torch.tensor([700.0])
    text = encode_text(base, [tokenize(base.tokenizers, "a dog")])
    with torch.no_grad():
        raw = pipeline.transformer([noisy[0][:, None]], (1000 - times) / 1000, states_of(text), return_dict=False)[0]
        close(predict(base, noisy, times, text, base.time_ids), -raw[0].squeeze(1)[None])


def test_other_sizes_are_of_whole_tokens(base, z_image_folder, pipeline):
    assert base_size_step(z_image_folder) == 8
    with pytest.raises(InputError, match="in steps of 8"):
        generate(base, None, ["a turtle"], 1, SHORT, size=PictureSize(64, 68))
    [[drawn]] = generate(base, None, ["a turtle"], 1, SHORT, size=PictureSize(72, 40))
    expected = pipeline(
        "a turtle",
        latents=initial_noise(base, 0, 0, PictureSize(72, 40)),
        height=40,
        width=72,
        num_inference_steps=2,
        guidance_scale=4.0,
    ).images[0]
    assert drawn.size == (72, 40)
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(expected)).max() <= 1


def test_a_picture_is_drawn(base):
    [[drawn]] = generate(base, None, ["a turtle"], 1, SHORT)
    assert drawn.size == (SIDE, SIDE) and math.isclose(base.resolution, SIDE)

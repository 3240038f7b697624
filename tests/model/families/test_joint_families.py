"""Families with joint attention by our own means against diffusers' own pipelines, on random bases of their shapes."""

import copy

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline, ZImagePipeline
from PIL import Image
from tokenizers import AddedToken

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
from tests.model.tiny_joint import SIDE, WIDTH

SHORT = Sampling(num_inference_steps=2, guidance_scale=5.0)
PROMPTS = ["a photo of a turtle", "a dog's box, in the snow!", "", "a red zebra (small) under a tree \u00e9t\u00e9"]


@pytest.fixture(scope="module")
def base(joint_base):
    return joint_base


@pytest.fixture(scope="module")
def pipeline(joint_base, joint_folder):
    found = joint_base.family.pipeline_class.from_pretrained(joint_folder)
    found.set_progress_bar_config(disable=True)
    return found


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def states_of(text: PromptEmbeds) -> list[torch.Tensor]:
    """What is read of each prompt."""
    if text.lengths is None:
        return list(text.states)
    return [states[:length] for states, length in zip(text.states, text.lengths.tolist(), strict=True)]


def their_states(pipeline, prompts) -> list[torch.Tensor]:
    options = {"do_classifier_free_guidance": False} if isinstance(pipeline, ZImagePipeline) else {}
    return list(pipeline.encode_prompt(list(prompts), **options)[0])


@torch.no_grad()
def test_prompt_states_are_the_pipelines(base, pipeline):
    found = states_of(encode_text(base, [tokenize(base.tokenizers, text) for text in PROMPTS]))
    expected = their_states(pipeline, PROMPTS)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        close(ours, theirs)
    close(states_of(encode_nothing(base))[0], expected[2])


def test_layers_that_are_never_read_do_not_run(base):
    ran, model = [], base.text_encoders[0].model.base_model
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(model.layers)
    ]
    hooks.append(model.norm.register_forward_hook(lambda *_: ran.append("norm")))
    try:
        encode_nothing(base)
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == list(range(len(model.layers) - 1))


@torch.no_grad()
@pytest.mark.parametrize("category", ["dog", "teddy bear", "turtle cup"])
def test_the_words_states_are_those_of_a_token_that_takes_the_space_before_it(base, pipeline, category):
    texts = ["a photo of a {} in the snow", "a {}'s box", "the ({}), in snow", "a red {}."]
    prompt, row = ConceptPrompt("<v>", category), torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy({"tokenizer": pipeline.tokenizer, "text_encoder": pipeline.text_encoder})
    other["tokenizer"].add_tokens([AddedToken("<v>", lstrip=True)])
    place = other["tokenizer"].convert_tokens_to_ids("<v>")
    other["text_encoder"].get_input_embeddings().weight[place] = row[0]
    theirs = their_states(type(pipeline)(**(pipeline.components | other)), [prompt.fill(text) for text in texts])
    tokenized = [tokenize(base.tokenizers, prompt.fill(text), prompt) for text in texts]
    for each, found, expected in zip(tokenized, states_of(encode_text(base, tokenized, [row])), theirs, strict=True):
        words = each.ids[0][each.super_category[0] : each.super_category[-1] + 1]
        assert base.tokenizers[0].tokenizer.decode(words) == f" {category}"
        close(found, expected)


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
    tokenized = tokenize(base.tokenizers, "<v> dog's box", prompt)
    (ids,), end = tokenized.ids, tokenized.words.stop
    assert ids[: len(reader.before)] == reader.before and ids[end : end + len(reader.after)] == reader.after
    assert set(ids[end + len(reader.after) :]) <= {reader.padding}


def picture(side=SIDE) -> Image.Image:
    generator = torch.Generator().manual_seed(4)
    return Image.fromarray(torch.randint(256, (side, side, 3), dtype=torch.uint8, generator=generator).numpy())


@torch.no_grad()
def test_latents_of_a_picture_are_the_pipelines_and_come_back(base, pipeline, make_stage):
    stage = make_stage("unet", augmented_views=1, rotation_probability=0.0, flip_probability=0.0)
    latents, _ = encode_views(base, [picture()], stage, seed=0).sample(2, torch.Generator().manual_seed(0))
    pixels = to_pixels([picture()])
    mode = pipeline.vae.encode(pixels).latent_dist.mode()
    if isinstance(pipeline, Flux2KleinPipeline):
        expected = pipeline._encode_vae_image(pixels, None)
    else:
        expected = (mode - pipeline.vae.config.shift_factor) * pipeline.vae.config.scaling_factor
    assert latents.shape[1:] == base.latent_shape
    close(latents, expected.expand(2, -1, -1, -1))
    close(base.family.denormalised(base.vae, latents[:1]), mode)


def their_latents(base, pipeline, prompt, noise, steps, guidance) -> torch.Tensor:
    """What the pipeline draws, in the denoiser's scale."""
    height, width = (edge * base.size_step for edge in noise.shape[-2:])
    found = pipeline(
        prompt=prompt,
        latents=noise,
        height=height,
        width=width,
        num_inference_steps=steps,
        guidance_scale=base.family.pipeline_guidance(guidance),
        output_type="latent",
    ).images
    return base.family.normalised(base.vae, found) if isinstance(pipeline, Flux2KleinPipeline) else found


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("prompt", ["a photo of a turtle", "a red dog in the snow " * 6])
def test_the_latents_of_a_whole_picture_are_the_pipelines(base, pipeline, guidance, prompt):
    noise, steps = initial_noise(base, 3, 0), 4
    sampling = Sampling(guidance_scale=guidance, num_inference_steps=steps)
    text = encode_text(base, [tokenize(base.tokenizers, prompt)])
    found = denoise(base, noise, text, encode_nothing(base), sampling)
    close(found, their_latents(base, pipeline, prompt, noise, steps, guidance))


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


def test_the_objective_is_the_published_scripts(base, pipeline):
    """Their lines, with their names: examples/dreambooth/train_dreambooth_lora_z_image.py and ..._flux2_klein.py of
    diffusers. Both draw evenly from the loaded scheduler's table; klein's is not shifted before a picture is drawn."""
    scheduler = base.noise_scheduler
    times = base.family.drawn_timesteps(scheduler, 64, torch.Generator().manual_seed(0))
    indices = torch.randint(1000, (64,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(times, pipeline.scheduler.from_config(pipeline.scheduler.config).timesteps[indices])
    sigmas = torch.arange(1000, 0, -1) / 1000
    shift = 1 if isinstance(pipeline, Flux2KleinPipeline) else 6
    torch.testing.assert_close(scheduler.timesteps, 1000 * shift * sigmas / (1 + (shift - 1) * sigmas))
    model_input, noise = torch.randn(2, 64, *base.latent_shape).unbind()
    step_sigmas = scheduler.sigmas[indices].view(-1, 1, 1, 1)
    noisy, target = base.family.noised(scheduler, model_input, noise, times)
    torch.testing.assert_close(noisy, (1.0 - step_sigmas) * model_input + step_sigmas * noise)
    assert torch.equal(target, noise - model_input)


@torch.no_grad()
def test_the_velocity_is_what_the_published_scripts_make_of_the_models_output(base, pipeline):
    """Z-Image's model is told the time the other way round, and its output is turned; klein's is told it as it is."""
    noisy, timesteps = torch.randn(2, *base.latent_shape), torch.tensor([700.0, 20.0])
    text = encode_text(base, [tokenize(base.tokenizers, text) for text in ("a dog", "a red box in snow")])
    if isinstance(pipeline, Flux2KleinPipeline):
        model_pred = pipeline.transformer(
            hidden_states=pipeline._pack_latents(noisy),
            timestep=timesteps / 1000,
            guidance=None,
            encoder_hidden_states=text.states,
            txt_ids=pipeline._prepare_text_ids(text.states),
            img_ids=pipeline._prepare_latent_ids(noisy),
            return_dict=False,
        )[0]
        model_pred = pipeline._unpack_latents_with_ids(model_pred, pipeline._prepare_latent_ids(noisy))
    else:
        pictures = list(noisy.unsqueeze(2).unbind())
        out = pipeline.transformer(pictures, (1000 - timesteps) / 1000, states_of(text), return_dict=False)[0]
        model_pred = -torch.stack(out).squeeze(2)
    close(predict(base, noisy, timesteps, text, base.time_ids.expand(2, -1)), model_pred)


def test_other_sizes_are_of_whole_tokens(base, joint_folder, pipeline):
    assert base_size_step(joint_folder) == 8
    with pytest.raises(InputError, match="in steps of 8"):
        generate(base, None, ["a turtle"], 1, SHORT, size=PictureSize(64, 68))
    size = PictureSize(72, 40)
    [[drawn]] = generate(base, None, ["a turtle"], 1, SHORT, size=size)
    expected = pipeline(
        prompt="a turtle",
        latents=initial_noise(base, 0, 0, size),
        height=40,
        width=72,
        num_inference_steps=2,
        guidance_scale=base.family.pipeline_guidance(5.0),
    ).images[0]
    assert drawn.size == (72, 40)
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(expected)).max() <= 1


def test_a_picture_is_drawn_from_the_noise_that_a_seed_gives_the_pipeline(base, pipeline):
    [[drawn]] = generate(base, None, ["a turtle"], 1, SHORT)
    assert drawn.size == (base.resolution, base.resolution) == (SIDE, SIDE)
    noise = torch.randn((1, *base.latent_shape), generator=torch.Generator().manual_seed(5))
    options = {"num_inference_steps": 1, "height": SIDE, "width": SIDE, "guidance_scale": 1.0, "output_type": "latent"}
    ours = pipeline(prompt="a turtle", latents=noise, **options).images
    theirs = pipeline(prompt="a turtle", generator=torch.Generator().manual_seed(5), **options).images
    assert torch.equal(ours, theirs)

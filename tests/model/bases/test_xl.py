"""Stable Diffusion XL: two text encoders, a pooled state and the sizes of a picture, through the same loop."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline

from model.bases.base import load_base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import check_concept, rare_token_ids, tokenize
from model.diffusion.latents import decode
from model.diffusion.text_encoding import encode_nothing, encode_text, initial_embeddings
from model.drawing.sample import denoise, generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.exports.diffusers_pipeline import concept_pipeline
from model.training.checkpoint import Checkpoints
from model.training.checkpoint_interval import CheckpointInterval
from model.training.train import train_stage
from model.weights.concept import ConceptWeights, named_embeddings
from tests.model.tiny import POOLED, WIDTH, WIDTH_2, write_tiny_xl_base

PROMPTS = ["a photo of a teapot on the beach", "a red box"]
WIDTHS = (WIDTH, WIDTH_2)


@pytest.fixture(scope="module")
def base(bases):
    return bases["xl"]


@pytest.fixture(scope="module")
def train(base, images, prompt):
    def run(stage, previous=None, **options):
        settings = {"images": images, "prompt": prompt, "seed": 0} | options
        return train_stage(base=base, stage=stage, previous=previous, **settings)

    return run


@pytest.fixture(scope="module")
def first(train, make_stage):
    """The weights that stage 1 leaves."""
    return train(make_stage("embedding")).weights


@pytest.fixture(scope="module")
def concept(train, make_stage, first):
    return train(make_stage("unet", learning_rate=1e-2), first).weights


def pipeline_of(base, **options):
    first, second = base.text_encoders
    pipeline = StableDiffusionXLPipeline(
        vae=base.vae,
        text_encoder=first.model,
        text_encoder_2=second.model,
        tokenizer=first.tokenizer,
        tokenizer_2=second.tokenizer,
        unet=base.denoiser,
        scheduler=DPMSolverMultistepScheduler.from_config(base.noise_scheduler.config),
        add_watermarker=False,
        **options,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def parts(base):
    return {"unet": base.denoiser, "vae": base.vae, **{e.part.folder: e.model for e in base.text_encoders}}


def snapshot(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def changed(module, before):
    return {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}


def tensors(weights):
    return named_embeddings(weights.embeddings) | weights.unet


def same(one, other):
    one, other = tensors(one), tensors(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def array(picture):
    return np.asarray(picture).astype(int)


@torch.no_grad()
def test_text_as_the_pipeline_in_diffusers_encodes_it(base):
    pipeline = pipeline_of(base)
    expected, _, pooled, _ = pipeline.encode_prompt(PROMPTS, device="cpu", do_classifier_free_guidance=False)
    found = encode_text(base, [tokenize(base.tokenizers, text) for text in PROMPTS])
    torch.testing.assert_close(found.states, expected)
    torch.testing.assert_close(found.pooled, pooled)
    assert found.states.shape == (2, 16, WIDTH + WIDTH_2) and found.pooled.shape == (2, POOLED)


@torch.no_grad()
def test_the_concepts_text_as_with_a_token_added_to_both_models(base, prompt):
    rows = [torch.randn(1, width, generator=torch.Generator().manual_seed(width)) for width in WIDTHS]
    states, pooled = [], None
    for encoder, row in zip(base.text_encoders, rows, strict=True):
        tokenizer, model = copy.deepcopy(encoder.tokenizer), copy.deepcopy(encoder.model)
        end = tokenizer("a", add_special_tokens=True)["input_ids"][-1]
        tokenizer.add_tokens(["<v>"])
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.get_input_embeddings().weight[-1] = row[0]
        ids = tokenizer(prompt.text, padding="max_length", return_tensors="pt")["input_ids"]
        output = model(ids, output_hidden_states=True)
        states.append(output.hidden_states[-2])
        if "text_embeds" in output:
            place = ids[0].tolist().index(end)
            pooled = model.text_projection(output.last_hidden_state[:, place])
    found = encode_text(base, [tokenize(base.tokenizers, prompt.text, prompt)], rows)
    torch.testing.assert_close(found.states, torch.cat(states, dim=-1))
    torch.testing.assert_close(found.pooled, pooled)


@torch.no_grad()
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_latents_and_pictures_are_those_of_the_pipeline_in_diffusers(base, concept, guidance_scale):
    """Given what we make of a concept's prompt: the same latents, from the same noise."""
    text = encode_text(base, [tokenize(base.tokenizers, concept.prompt.text, concept.prompt)], concept.embeddings)
    nothing, noise = encode_nothing(base), initial_noise(base, 3, 0)
    sampling = Sampling(guidance_scale=guidance_scale, num_inference_steps=6, seed=3)
    with concept.applied(base):
        call = {
            "prompt_embeds": text.states,
            "pooled_prompt_embeds": text.pooled,
            "negative_prompt_embeds": nothing.states,
            "negative_pooled_prompt_embeds": nothing.pooled,
            "latents": noise,
            "guidance_scale": guidance_scale,
            "num_inference_steps": 6,
        }
        pipeline = pipeline_of(base)
        expected = pipeline(**call, output_type="latent").images
        found = denoise(base, noise, text, nothing, sampling)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        picture = pipeline(**call).images[0]
        assert np.abs(array(decode(base, found)[0]) - array(picture)).max() <= 1
    [[drawn]] = generate(base, concept, [concept.prompt.text], 1, sampling)
    assert np.abs(array(drawn) - array(picture)).max() <= 1
    assert array(drawn).std() > 5, "not a flat picture"


@pytest.mark.parametrize("zeros", [True, False])
def test_the_empty_prompt_is_what_the_base_was_trained_with(tmp_path, zeros):
    folder = write_tiny_xl_base(tmp_path / "base", force_zeros_for_empty_prompt=zeros)
    base = load_base(str(folder))
    nothing = encode_nothing(base)
    assert bool(nothing.states.any()) != zeros and bool(nothing.pooled.any()) != zeros
    options = {"guidance_scale": 4.0, "num_inference_steps": 4}
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(PROMPTS, latents=torch.cat([initial_noise(base, 3, 0)] * 2), **options).images
    found = generate(base, None, PROMPTS, 1, Sampling(seed=3, **options))
    assert max(np.abs(array(row[0]) - array(picture)).max() for row, picture in zip(found, expected, strict=True)) <= 1


def test_zeros_are_what_diffusers_takes_where_the_index_says_nothing(base_folders, tmp_path):
    folder = shutil.copytree(base_folders["xl"], tmp_path / "base")
    index = json.loads((folder / "model_index.json").read_text())
    index.pop("force_zeros_for_empty_prompt")
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_base(str(folder)).zeros_for_nothing
    assert StableDiffusionXLPipeline.from_pretrained(folder).config.force_zeros_for_empty_prompt


def test_the_unet_reads_the_sizes(base, concept):
    """The loss of a step changes with the time ids and with the pooled state alone."""
    from model.diffusion.predict import predict

    text = encode_text(base, [tokenize(base.tokenizers, PROMPTS[0])])
    noisy, timestep = torch.randn(1, 4, 8, 8), torch.tensor(500)
    plain = predict(base, noisy, timestep, text, base.time_ids)
    other_sizes = predict(base, noisy, timestep, text, base.time_ids + torch.tensor([[0, 0, 9, 0, 0, 0]]))
    other_pooled = predict(base, noisy, timestep, dataclasses.replace(text, pooled=text.pooled + 1), base.time_ids)
    assert base.time_ids.tolist() == [[16, 16, 0, 0, 16, 16]]
    assert not torch.allclose(plain, other_sizes) and not torch.allclose(plain, other_pooled)


def test_training_tells_the_unet_the_sizes_of_its_views(base, train, make_stage, first):
    told = []

    def look(_module, _arguments, options):
        told.extend(options["added_cond_kwargs"]["time_ids"].tolist())

    hook = base.denoiser.register_forward_pre_hook(look, with_kwargs=True)
    try:
        train(make_stage("unet", batch_size=4, augmented_views=6, rotation_probability=0.0), first)
    finally:
        hook.remove()
    assert len(told) == 12
    assert {tuple(ids[:2]) for ids in told} == {(16, 16), (18, 24), (64, 40)}, "heights and widths of the images"
    assert {tuple(ids[4:]) for ids in told} == {(16, 16)}
    assert any(ids[2] or ids[3] for ids in told), "some views lie inside their image"


@pytest.mark.parametrize("trains", ["embedding", "cross_attention", "unet"])
def test_what_is_trained_and_what_is_frozen(base, train, make_stage, first, trains):
    before = {name: snapshot(module) for name, module in parts(base).items()}
    seen = []

    def look(step):
        for name, module in parts(base).items():
            if name != "unet":
                assert not any(p.requires_grad or p.grad is not None for p in module.parameters()), name
                assert changed(module, before[name]) == set(), name
        seen.append(changed(base.denoiser, before["unet"]))

    previous = None if trains == "embedding" else first
    weights = train(make_stage(trains), previous, on_step=look).weights

    names = set(before["unet"])
    wanted = {"embedding": set(), "cross_attention": {n for n in names if ".attn2." in n}, "unet": names}[trains]
    assert seen[-1] == weights.unet.keys() == wanted
    assert all(not torch.equal(weights.unet[name], before["unet"][name]) for name in wanted)
    starts = first.embeddings if previous else initial_embeddings(base, make_stage("embedding"), weights.prompt)
    assert [tuple(row.shape) for row in weights.embeddings] == [(1, width) for width in WIDTHS]
    for row, start in zip(weights.embeddings, starts, strict=True):
        assert torch.equal(row, start) == (trains != "embedding"), "both learn in stage 1, and neither later"
    assert all(changed(module, before[name]) == set() for name, module in parts(base).items())


def test_both_embeddings_start_from_the_super_category(base, make_stage):
    rows = initial_embeddings(base, make_stage("embedding"), ConceptPrompt("<v>", "teddy bear"))
    for encoder, row in zip(base.text_encoders, rows, strict=True):
        ids = encoder.tokenizer("teddy bear", add_special_tokens=False)["input_ids"]
        assert torch.equal(row[0], encoder.embeddings[ids].mean(dim=0))


@pytest.mark.parametrize("trains", ["embedding", "unet"])
def test_same_seed_same_bits(train, make_stage, first, trains):
    previous = None if trains == "embedding" else first
    one, two, other = (train(make_stage(trains), previous, seed=seed).weights for seed in (1, 1, 2))
    assert same(one, two) and not same(one, other)


@pytest.mark.parametrize("trains", ["embedding", "cross_attention"])
def test_a_resumed_training_comes_to_the_same_bits(train, make_stage, first, trains, tmp_path):
    stage, previous = make_stage(trains, max_train_steps=9), None if trains == "embedding" else first
    whole = train(stage, previous)

    def checkpoints():
        return Checkpoints(tmp_path, identity="this one", every=CheckpointInterval.parse("3 steps"), warn=pytest.fail)

    def stop(step):
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stage, previous, on_step=stop, checkpoints=checkpoints())
    steps = []
    resumed = train(stage, previous, on_step=lambda step: steps.append(step.step), checkpoints=checkpoints())
    assert steps == [6, 7, 8, 9]
    assert same(resumed.weights, whole.weights)


def test_both_text_encoders_learn_beside_the_unet_as_far_as_it_reads_them(base, train, make_stage, tmp_path):
    stage = make_stage(
        "unet",
        train_text_encoder=True,
        starts_from="rare_token",
        rare_token="q",
        learning_rate=1e-2,
        max_train_steps=5,
        attention_mean_weight=0.0,
        attention_variance_weight=0.0,
    )
    whole, before = train(stage).weights, {n: p.detach().clone() for n, p in parameters_of(base).items()}
    still = {name for name, tensor in whole.text.items() if torch.equal(tensor, before[name])}
    # The UNet reads what the first one's last layer is given, and the second one's last states by the pooled one.
    unread = ("text_encoder.encoder.layers.1.", "text_encoder.final_layer_norm.")
    assert still >= {name for name in whole.text if name.startswith(unread)} != set()
    assert all(name.startswith(unread) or "k_proj.bias" in name for name in still), "a key's bias changes no attention"
    assert not any("token_embedding" in name for name in whole.text)

    def stop(step):
        if step.step == 3:
            raise KeyboardInterrupt

    def checkpoints():
        return Checkpoints(tmp_path, identity="this one", every=CheckpointInterval.parse("2 steps"), warn=pytest.fail)

    with pytest.raises(KeyboardInterrupt):
        train(stage, on_step=stop, checkpoints=checkpoints())
    resumed = train(stage, checkpoints=checkpoints()).weights
    assert all(torch.equal(resumed.changed[name], tensor) for name, tensor in whole.changed.items())


def test_weights_are_kept_and_fit_their_own_base_alone(bases, first, tmp_path):
    first.save(tmp_path / "concept.safetensors")
    loaded = ConceptWeights.load(tmp_path / "concept.safetensors")
    assert same(loaded, first) and len(loaded.embeddings) == 2
    with pytest.raises(InputError, match=r"embedding of shape \(1, 16\), \(1, 24\) does not fit base model"):
        loaded.check_fits(bases["sd1"])
    with pytest.raises(InputError, match="does not fit base model"):
        dataclasses.replace(loaded, embeddings=loaded.embeddings[:1]).check_fits(bases["xl"])


@torch.no_grad()
def test_an_exported_pipeline_draws_the_same_though_the_new_word_has_the_largest_id(base_folders, concept, tmp_path):
    base = load_base(str(base_folders["xl"]))
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=4, seed=5)
    [[expected]] = generate(base, concept, [concept.prompt.text], 1, sampling)
    concept_pipeline(base, concept).save_pretrained(tmp_path / "owl")
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "owl")
    pipeline.set_progress_bar_config(disable=True)
    untouched = load_base(str(base_folders["xl"]))
    text = tokenize(untouched.tokenizers, concept.prompt.text, concept.prompt)
    own = encode_text(untouched, [text], concept.embeddings)
    states, _, pooled, _ = pipeline.encode_prompt(concept.prompt.text, do_classifier_free_guidance=False)
    torch.testing.assert_close(states, own.states)
    torch.testing.assert_close(pooled, own.pooled)
    options = {"guidance_scale": 3.0, "num_inference_steps": 4}
    found = pipeline(concept.prompt.text, latents=initial_noise(base, 5, 0), **options).images[0]
    assert np.abs(array(found) - array(expected)).max() <= 1


def test_both_tokenizers_are_asked(base):
    """The second may know fewer words; what both object to is said once."""
    plain = base.tokenizers[1]
    poor = copy.deepcopy(plain)
    state = json.loads(poor.tokenizer.backend_tokenizer.to_str())
    state["model"]["merges"] = [pair for pair in state["model"]["merges"] if pair[-1] != "q</w>"][:3]
    poor.tokenizer._tokenizer = type(poor.tokenizer.backend_tokenizer).from_str(json.dumps(state))
    prompt = ConceptPrompt("<v>", "turtle")
    with pytest.raises(InputError, match="super-category 'turtle': the base does not know 'turtle'"):
        check_concept([plain, poor], prompt)
    with pytest.raises(InputError, match="different numbers of tokens, so that \\[V\\] has no one place"):
        tokenize([plain, poor], "a photo of a <v>", prompt)
    assert tokenize([plain, poor], "a <v>", prompt).placeholder == (2,)
    with pytest.raises(InputError) as caught:
        check_concept(base.tokenizers, ConceptPrompt("<v>", "wug"))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(("word", "said"), [("turtle", "could not tell \\[V\\]"), ("sks", "3 tokens")])
def test_a_rare_token_must_be_one_in_both_tokenizers(base, word, said):
    prompt = ConceptPrompt("<v>", "turtle")
    assert len(rare_token_ids(base.tokenizers, "q", prompt)) == 2
    with pytest.raises(InputError, match=said) as caught:
        rare_token_ids(base.tokenizers, word, prompt)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("unet/config.json", {"addition_embed_type": None}, "addition_embed_type None"),
        ("unet/config.json", {"projection_class_embeddings_input_dim": 40}, r"pooled state of text_encoder_2/ \(12\)"),
        ("unet/config.json", {"cross_attention_dim": 16}, "text_encoder/ and text_encoder_2/ make 40"),
        ("unet/config.json", {"in_channels": 9}, "inpainting"),
        ("text_encoder_2/config.json", {"architectures": ["CLIPTextModel"]}, "a CLIPTextModelWithProjection is needed"),
        ("model_index.json", {"requires_aesthetics_score": True}, "the refiner of Stable Diffusion XL"),
        ("model_index.json", {"text_encoder": [None, None]}, "one text encoder of two"),
        (
            "model_index.json",
            {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]},
            r"a FluxPipeline, whose transformer \(FluxTransformer2DModel\) reads text and picture by joint attention",
        ),
    ],
)
def test_what_is_no_xl_base_is_refused_by_name(base_folders, tmp_path, file, values, said):
    folder = shutil.copytree(base_folders["xl"], tmp_path / "base")
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))
    with pytest.raises(InputError, match=said) as caught:
        load_base(str(folder))
    assert len(caught.value.problems) == 1


def test_a_second_encoder_without_weights_or_tokenizer_is_named(base_folders, tmp_path):
    folder = shutil.copytree(base_folders["xl"], tmp_path / "base")
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(InputError) as caught:
        load_base(str(folder))
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems] == [
        "tokenizer_2/: neither tokenizer.json nor vocab.json",
        "text_encoder_2/: no weights; model.safetensors is needed",
    ]

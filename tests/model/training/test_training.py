import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.latents import to_pixels
from model.diffusion.text_encoding import PromptEmbeds, category_embeddings, encode_text
from model.errors import InputError, WorkFailed
from model.training.objective import LoopSetup, StepText, prediction_losses, step_text
from model.training.process_group import ProcessGroup
from model.training.train import _derived_seed, train_stage


@pytest.fixture(scope="module")
def train(base, images, prompt):
    def run(stage, previous=None, **options):
        settings = {"base": base, "images": images, "prompt": prompt, "seed": 0} | options
        return train_stage(stage=stage, previous=previous, **settings)

    return run


@pytest.fixture(scope="module")
def first(train, make_stage):
    """The weights that stage 1 leaves."""
    return train(make_stage("embedding")).weights


def snapshot(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def changed(module, before):
    return {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}


def attn2_names(base):
    return {name for name, _ in base.denoiser.named_parameters() if ".attn2." in name}


@pytest.mark.parametrize("trains", ["embedding", "cross_attention", "unet"])
def test_what_is_trained_and_what_is_frozen(base, train, make_stage, first, trains):
    frozen = {"text_encoder": snapshot(base.text_encoders[0].model), "vae": snapshot(base.vae)}
    unet = snapshot(base.denoiser)
    seen = []

    def look(step):
        for part in frozen:
            module = base.vae if part == "vae" else base.text_encoders[0].model
            assert not any(p.requires_grad or p.grad is not None for p in module.parameters()), part
            assert changed(module, frozen[part]) == set(), part
        seen.append(changed(base.denoiser, unet))

    previous = None if trains == "embedding" else first
    weights = train(make_stage(trains), previous, on_step=look).weights

    wanted = {"embedding": set(), "cross_attention": attn2_names(base), "unet": set(unet)}[trains]
    assert weights.unet.keys() == wanted
    assert seen[-1] == wanted
    assert all(not torch.equal(weights.unet[name], unet[name]) for name in wanted)
    rows = base.text_encoders[0].embeddings
    start = (
        rows[base.tokenizers[0].tokenizer("turtle", add_special_tokens=False)["input_ids"][0]]
        if not previous
        else first.embeddings[0]
    )
    assert weights.embeddings[0].shape == (1, 16)
    assert torch.equal(weights.embeddings[0].flatten(), start.flatten()) == (trains != "embedding")
    assert changed(base.denoiser, unet) == set(), "the base is as before"
    assert not any(p.requires_grad or p.grad is not None for p in base.denoiser.parameters())


def test_each_stage_goes_on_from_the_one_before(base, train, make_stage, first):
    second = train(make_stage("cross_attention"), first).weights
    still = make_stage("unet", learning_rate=1e-30, weight_decay=0.0, max_train_steps=1)
    third = train(still, second).weights
    for name, tensor in third.unet.items():
        torch.testing.assert_close(tensor, second.unet.get(name, base.denoiser.get_parameter(name)), rtol=0, atol=1e-20)


@pytest.mark.parametrize("trains", ["embedding", "unet"])
def test_same_seed_same_bits_whatever_the_global_generators_say(train, make_stage, first, trains):
    previous = None if trains == "embedding" else first
    found = []
    for seed, noise in [(1, 10), (1, 20), (2, 10)]:
        torch.manual_seed(noise)
        np.random.seed(noise)
        random.seed(noise)
        state = torch.get_rng_state()
        weights = train(make_stage(trains), previous, seed=seed).weights
        assert torch.equal(torch.get_rng_state(), state)
        found.append({"embedding": weights.embeddings[0], **weights.unet})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not all(torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_every_stage_and_purpose_has_dice_of_its_own(make_stage):
    stages, purposes = [make_stage(name) for name in ("embedding", "cross_attention", "unet")], ("views", "noise")
    seeds = [_derived_seed(seed, stage, purpose) for seed in (0, 1) for stage in stages for purpose in purposes]
    assert len(set(seeds)) == len(seeds)


def test_gradients_are_clipped(train, make_stage):
    # Adam does not see the gradients' scale until they are as small as its epsilon of 1e-8.
    start = train(make_stage("embedding", learning_rate=1e-30)).weights.embeddings[0]
    free, clipped = (
        (train(make_stage("embedding", weight_decay=0.0, max_grad_norm=norm)).weights.embeddings[0] - start).norm()
        for norm in (1.0, 1e-12)
    )
    assert clipped < 0.01 * free


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_the_target_is_what_the_base_predicts(bases, kind):
    base = bases[kind]
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    class Knowing(torch.nn.Module):
        """Predicts exactly what the formulas of the two parametrisations say, from the same random numbers."""

        def forward(self, noisy, timesteps, states, added_cond_kwargs):
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(7))
            betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
            kept = (1 - betas).cumprod(0)[timesteps].reshape(-1, 1, 1, 1)
            torch.testing.assert_close(noisy, kept.sqrt() * latents + (1 - kept).sqrt() * noise)
            velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
            return type("Output", (), {"sample": {"sd1": noise, "sd2": velocity}[kind]})

    knowing = dataclasses.replace(base, denoiser=Knowing())
    text = StepText.one_each(PromptEmbeds(torch.zeros(1, 16, 16)), 4)
    (loss,) = prediction_losses(knowing, [(latents, torch.zeros(4, 6))], text, torch.Generator().manual_seed(7))
    assert loss < 1e-10


def error_on_a_fixed_batch(base, images, weights):
    """Error of the prediction on 64 latents of the images, with the same noise and timesteps for all weights."""
    dice = torch.Generator().manual_seed(1)
    pixels = to_pixels([image.resize((base.resolution, base.resolution)) for image in images])
    with torch.no_grad(), weights.applied(base):
        latents = base.vae.encode(pixels).latent_dist.mean * base.vae.config.scaling_factor
        latents = latents[torch.randint(len(latents), (64,), generator=dice)]
        text = encode_text(base, [tokenize(base.tokenizers, weights.prompt.text, weights.prompt)], weights.embeddings)
        return prediction_losses(base, [(latents, base.time_ids.expand(64, -1))], StepText.one_each(text, 64), dice)[
            0
        ].item()


def test_training_learns_the_images(base, images, train, make_stage, first):
    trained = train(make_stage("unet", max_train_steps=40, learning_rate=5e-3, attention_mean_weight=0.0), first)
    assert error_on_a_fixed_batch(base, images, trained.weights) < 0.9 * error_on_a_fixed_batch(base, images, first)


def test_the_term_pulls_the_attention_together(train, make_stage, first):
    settings = {"max_train_steps": 40, "learning_rate": 5e-3, "attention_variance_weight": 0.0}
    without = train(make_stage("unet", attention_mean_weight=0.0, **(settings | {"max_train_steps": 2})), first).curve
    assert {point.attention_loss for point in without} == {0.0}
    weak, strong = (
        train(make_stage("cross_attention", attention_mean_weight=weight, **settings), first).curve
        for weight in (1e-3, 1e5)
    )
    assert strong[-1].attention_loss / strong[0].attention_loss < 0.1
    assert strong[-1].attention_loss / strong[0].attention_loss < 0.5 * weak[-1].attention_loss / weak[0].attention_loss


def test_curve_and_progress(train, make_stage):
    steps = []
    stage = make_stage("embedding", max_train_steps=23)
    trained = train(stage, on_step=steps.append)
    assert [point.step for point in trained.curve] == [1, 10, 20, 23]
    assert [step.step for step in steps] == list(range(1, 24))
    assert {(step.stage, step.max_train_steps) for step in steps} == {("embedding", 23)}
    assert steps[14].loss == trained.curve[1].loss
    for point in trained.curve:
        assert point.loss > point.attention_loss > 0
        assert point.grad_norm > 0
        assert point.learning_rate == stage.learning_rate
        assert point.samples_per_second > 0


def test_constant_text_and_images_are_encoded_once(base, train, make_stage, first):
    calls = {"text": 0, "views": 0}

    def count(what, size):
        def hook(_module, inputs):
            calls[what] += len(inputs[0]) if size else 1

        return hook

    hooks = [
        base.text_encoders[0].model.get_input_embeddings().register_forward_pre_hook(count("text", size=False)),
        base.vae.encoder.register_forward_pre_hook(count("views", size=True)),
    ]
    try:
        train(make_stage("unet", max_train_steps=9, augmented_views=11), first)
        assert calls == {"text": 1, "views": 11}
        train(make_stage("embedding", max_train_steps=9, augmented_views=5))
        assert calls == {"text": 1 + 9, "views": 11 + 5}
    finally:
        for hook in hooks:
            hook.remove()


TEMPLATES = ("a photo of a {}", "a drawing of a {}", "a {} in a garden")


def test_templates_are_drawn_for_each_picture_and_read_where_they_are_used(base, train, make_stage, first):
    """A stage that trains the embedding reads in a step what the step shows; another one reads all of them once."""
    read = []
    hook = (
        base.text_encoders[0]
        .model.get_input_embeddings()
        .register_forward_pre_hook(lambda _module, inputs: read.append(len(inputs[0])))
    )
    plain = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0, "max_train_steps": 12, "batch_size": 2}
    try:
        with_templates = train(make_stage("embedding", templates=list(TEMPLATES), **plain))
        assert len(read) == 12 and set(read) == {1, 2}, "one or two of the three in a batch of two"
        read.clear()
        train(make_stage("unet", templates=TEMPLATES, **plain), first)
        assert read == [1 + 3]
    finally:
        hook.remove()
    without = train(make_stage("embedding", **plain))
    assert not torch.equal(with_templates.weights.embeddings[0], without.weights.embeddings[0])


def test_each_picture_of_a_step_has_the_text_of_the_template_that_was_drawn_for_it(base, prompt):
    text = step_text(
        LoopSetup(
            base=base,
            stage=SimpleNamespace(batch_size=8, trains_text=True),
            banks=(),
            prompts=[tokenize(base.tokenizers, prompt.text, prompt)],
            templates=[tokenize(base.tokenizers, prompt.fill(template), prompt) for template in TEMPLATES],
            autocast="none",
            group=ProcessGroup(),
        ),
        category_embeddings(base, prompt),
        torch.Generator().manual_seed(3),
        None,
    )
    drawn = torch.randint(3, (8,), generator=torch.Generator().manual_seed(3))
    everything = encode_text(
        base,
        [tokenize(base.tokenizers, prompt.fill(template), prompt) for template in TEMPLATES],
        category_embeddings(base, prompt),
    )
    torch.testing.assert_close(text.embeds.states[text.rows[0]], everything.states[drawn])


def test_the_base_is_as_before_after_an_interruption(base, train, make_stage, first):
    before, processors = snapshot(base.denoiser), base.denoiser.attn_processors

    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_stage("unet"), first, on_step=stop)
    assert changed(base.denoiser, before) == set()
    assert not any(p.requires_grad or p.grad is not None for p in base.denoiser.parameters())
    assert all(base.denoiser.attn_processors[name] is processor for name, processor in processors.items())


def test_a_loss_that_is_no_number_stops_the_stage(base, train, make_stage, first):
    poisoned = dataclasses.replace(
        first, unet={"conv_in.bias": torch.full_like(base.denoiser.get_parameter("conv_in.bias"), float("nan"))}
    )
    with pytest.raises(WorkFailed, match=r"stage 'unet': loss nan.* by step 1"):
        train(make_stage("unet"), poisoned)
    assert not base.denoiser.get_parameter("conv_in.bias").isnan().any()


def test_too_little_memory_says_what_to_turn(base, train, make_stage, first):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError  # no device that can really run out is at hand

    with pytest.raises(WorkFailed, match=r"stage 'unet': not enough memory on cpu; unet\.batch_size below 2 or"):
        train(make_stage("unet"), first, on_step=out_of_memory)
    with pytest.raises(WorkFailed, match=r"not enough memory on cpu; unet\.gradient_checkpointing = true needs less"):
        train(make_stage("unet", batch_size=1), first, on_step=out_of_memory)
    smallest = make_stage("unet", batch_size=1, gradient_checkpointing=True)
    with pytest.raises(WorkFailed, match=r"unet\.batch_size is 1 already, so choose a device with more memory"):
        train(smallest, first, on_step=out_of_memory)
    hook = base.vae.encoder.register_forward_pre_hook(out_of_memory)
    try:
        said = r"stage 'embedding': .*; embedding\.batch_size below 2 or .*gradient_checkpointing = true needs less"
        with pytest.raises(WorkFailed, match=said):
            train(make_stage("embedding"))
    finally:
        hook.remove()


def test_no_more_views_are_encoded_at_a_time_than_a_step_trains_on(base, train, make_stage):
    sizes = []
    hook = base.vae.encoder.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    try:
        train(make_stage("embedding", batch_size=3, augmented_views=7, max_train_steps=1))
    finally:
        hook.remove()
    assert sizes == [3, 3, 1]


def test_bfloat16_autocast_keeps_float32_weights(train, make_stage, first):
    half = train(make_stage("unet"), first, autocast="bfloat16").weights
    full = train(make_stage("unet"), first).weights
    assert {tensor.dtype for tensor in half.unet.values()} == {torch.float32}
    assert any(not torch.equal(half.unet[name], full.unet[name]) for name in full.unet)
    for name, tensor in full.unet.items():
        torch.testing.assert_close(half.unet[name], tensor, rtol=0, atol=0.01)


def test_a_two_token_category_trains(train, make_stage):
    prompt = ConceptPrompt("<bear>", "teddy bear")
    first = train(make_stage("embedding"), prompt=prompt).weights
    assert train(make_stage("cross_attention"), first, prompt=prompt).weights.prompt == prompt


def test_textual_inversion_never_says_the_super_category(base, train, make_stage):
    alone = ConceptPrompt("<v>", "turtle", names_category=False)
    assert alone.text == "a photo of a <v>" and alone.without_placeholder(alone.template) == "a photo of a turtle"
    unweighted = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0}
    read: list[list[int]] = []
    module = base.text_encoders[0].model.get_input_embeddings()
    hook = module.register_forward_pre_hook(lambda _module, inputs: read.extend(inputs[0].tolist()))
    try:
        weights = train(make_stage("embedding", **unweighted), prompt=alone).weights
    finally:
        hook.remove()
    assert {tuple(row) for row in read} == set(tokenize(base.tokenizers, alone.text, alone).ids)
    words = base.tokenizers[0].tokenizer("a photo of a", add_special_tokens=False)["input_ids"]
    assert (
        read[0][1:5] == words and read[0][6] == base.tokenizers[0].tokenizer.eos_token_id
    )  # one place between them: [V]
    assert weights.prompt.fill("a {} in snow") == "a <v> in snow"
    with pytest.raises(InputError, match="needs a prompt that names the super-category"):
        train(make_stage("embedding"), prompt=alone)


def test_dreambooth_s_word_is_a_rare_token_that_stays(base, train, make_stage):
    rare = {"starts_from": "rare_token", "attention_mean_weight": 0.0, "attention_variance_weight": 0.0}
    weights = train(make_stage("unet", rare_token="q", **rare)).weights
    row = base.tokenizers[0].tokenizer("q", add_special_tokens=False)["input_ids"][0]
    assert torch.equal(weights.embeddings[0][0], base.text_encoders[0].embeddings[row])
    assert weights.unet.keys() == {name for name, _ in base.denoiser.named_parameters()}
    with pytest.raises(InputError, match="rare token 'sks': the base reads it as 3 tokens"):
        train(make_stage("unet", rare_token="sks", **rare))
    with pytest.raises(InputError, match="rare token 'turtle': part of super-category 'turtle'"):
        train(make_stage("unet", rare_token="turtle", **rare))


def test_wrong_input_is_refused_before_any_work(base, train, make_stage, first):
    def problems(*arguments, **options):
        with pytest.raises(InputError) as caught:
            train(*arguments, on_step=lambda step: pytest.fail("work has started"), **options)
        return "\n".join(caught.value.problems)

    assert "starts from the stage before, and its weights were not given" in problems(make_stage("unet"))
    assert "was given another stage's weights" in problems(make_stage("embedding"), first)
    assert "no instance images" in problems(make_stage("embedding"), images=[])
    assert "trained on" in problems(make_stage("unet"), first, prompt=ConceptPrompt("<v>", "teapot"))
    assert "the base does not know 'wug'" in problems(make_stage("embedding"), prompt=ConceptPrompt("<v>", "wug"))
    many = problems(make_stage("unet", learning_rate=-1.0, batch_size=0), images=[])
    assert len(many.splitlines()) == 4

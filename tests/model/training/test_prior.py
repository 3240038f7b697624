"""Prior preservation: half of what a step sees is what the base draws of the super-category."""

import pytest
import torch
from PIL import Image

from model.bases.tokens import tokenize
from model.diffusion.latents import to_pixels
from model.diffusion.text_encoding import PromptEmbeds, encode_text
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.methods.presets import METHODS, get_method
from model.training.objective import StepText, prediction_losses
from model.training.train import train_stage

RARE = {"starts_from": "rare_token", "rare_token": "q", "attention_mean_weight": 0.0, "attention_variance_weight": 0.0}


@pytest.fixture(scope="module")
def class_images(base, prompt):
    sampling = Sampling(guidance_scale=1.0, num_inference_steps=2)
    return generate(base, None, [prompt.class_text], 4, sampling)[0]


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(drawn=(), **settings):
        stage = make_stage("unet", **(RARE | settings))
        return train_stage(
            base=base,
            stage=stage,
            images=images,
            class_images=drawn,
            prompt=prompt,
            previous=None,
            seed=0,
        )

    return run


@pytest.fixture(scope="module")
def error_on(base, prompt):
    """Error of the prediction of pictures of the class, by the class prompt, with the same noise for all weights."""

    def error(pictures, weights) -> float:
        dice = torch.Generator().manual_seed(1)
        with torch.no_grad(), weights.applied(base):
            latents = base.vae.encode(to_pixels(pictures)).latent_dist.mean * base.vae.config.scaling_factor
            latents = latents[torch.randint(len(latents), (64,), generator=dice)]
            text = encode_text(base, [tokenize(base.tokenizers, prompt.class_text)])
            return prediction_losses(
                base, [(latents, base.time_ids.expand(64, -1))], StepText.one_each(text, 64), dice
            )[0].item()

    return error


def test_both_halves_are_the_plain_errors_of_their_pictures_and_prompts(base):
    """In one pass of the UNet, each half with its own text and random numbers."""
    shape = (3, 4, 8, 8)
    batches = [
        (torch.randn(shape, generator=torch.Generator().manual_seed(seed)), base.time_ids.expand(3, -1))
        for seed in (1, 2)
    ]
    text = PromptEmbeds(torch.randn((2, 16, 16), generator=torch.Generator().manual_seed(3)))
    dice = torch.Generator().manual_seed(4)
    together = prediction_losses(base, batches, StepText.one_each(text, 3), dice)
    dice = torch.Generator().manual_seed(4)
    apart = [
        prediction_losses(base, [batch], StepText.one_each(text.each(lambda part, n=n: part[n : n + 1]), 3), dice)[0]
        for n, batch in enumerate(batches)
    ]
    for both, alone in zip(together, apart, strict=True):
        torch.testing.assert_close(both, alone, rtol=1e-5, atol=0)


def test_the_loss_is_the_concept_s_plus_the_weighted_one_of_the_class(train, class_images):
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "max_train_steps": 1}
    without = train(**still).curve[0]
    once, thrice = (train(class_images, prior_weight=w, class_images=4, **still).curve[0] for w in (1.0, 3.0))
    assert without.prior_loss is None and "prior_loss" not in without.written()
    assert once.prior_loss > 0 and thrice.prior_loss == pytest.approx(3 * once.prior_loss, rel=1e-5)
    for point in (once, thrice):
        assert point.loss == pytest.approx(without.loss + point.prior_loss, rel=1e-5)


def test_the_attention_term_looks_at_the_concept_s_half_alone(base, images, prompt, make_stage, class_images):
    def first(**options):
        stage = make_stage("cross_attention", starts_from="super_category", max_train_steps=1, **options)
        drawn = class_images if stage.has_prior else ()
        trained = train_stage(
            base=base, stage=stage, images=images, class_images=drawn, prompt=prompt, previous=None, seed=0
        )
        assert trained.curve[0].attention_loss > 1e-9
        return trained.curve[0].attention_loss

    assert first(prior_weight=1.0, class_images=4) == pytest.approx(first(), rel=1e-5)


def test_the_class_is_remembered_better_than_without(train, error_on):
    drawn = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    settings = {"max_train_steps": 20, "learning_rate": 5e-3}
    without = train(**settings).weights
    kept = train(drawn, prior_weight=5.0, class_images=2, **settings).weights
    assert error_on(drawn, kept) < 0.97 * error_on(drawn, without)


def test_wrong_counts_are_refused_before_any_work(train, class_images):
    with pytest.raises(InputError, match=r"unet\.class_images = 0: prior preservation needs some"):
        train(prior_weight=1.0)
    with pytest.raises(InputError, match=r"unet\.class_images = 4: of no use while prior_weight is 0"):
        train(class_images, class_images=4)
    with pytest.raises(InputError, match="3 class images were given, class_images is 4"):
        train(class_images[:3], prior_weight=1.0, class_images=4)
    with pytest.raises(InputError, match=r"class_images = 0: prior preservation needs some"):
        get_method("dreambooth_prior", "toyworld", {"unet": {"class_images": 0}})
    both = {name: {"prior_weight": 1.0, "class_images": count} for name, count in (("cross_attention", 2), ("unet", 3))}
    with pytest.raises(InputError, match=r"cross_attention\.class_images = 2 and unet\.class_images = 3: one set"):
        get_method("attndreambooth", "toyworld", both)
    with pytest.raises(InputError, match=r"embedding\.prior_weight = 1\.0: class images do not show \[V\]"):
        get_method("attndreambooth", "toyworld", {"embedding": {"prior_weight": 1.0, "class_images": 2}})


def test_it_is_dreambooth_and_class_images():
    for preset, method in METHODS["dreambooth_prior"].items():
        (with_prior,), (plain,) = method.stages, METHODS["dreambooth"][preset].stages
        assert with_prior.prior_weight == 1.0 and method.class_images == with_prior.class_images > 0
        changed = {name for name, value in with_prior.facts().items() if plain.facts().get(name) != value}
        assert changed - {"max_train_steps"} == {"prior_weight", "class_images"}

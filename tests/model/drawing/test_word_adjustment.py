"""[V] is moved towards its super-category at drawing, by length and by direction, and left alone where nobody asks."""

import math
from dataclasses import replace

import pytest
import torch

from model.diffusion.text_encoding import category_embeddings
from model.drawing.attention_maps import attention_maps
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.drawing.word_adjustment import drawn_embeddings
from model.weights.concept import ConceptWeights

SAMPLING = Sampling(guidance_scale=3.0, num_inference_steps=3, seed=4)


@pytest.fixture(params=["sd2", "xl"])
def any_base(bases, request):
    return bases[request.param]


@pytest.fixture
def weights(any_base, prompt):
    """An embedding far from its super-category's, and five times as long."""
    noise = torch.Generator().manual_seed(1)
    learnt = [torch.randn(each.shape, generator=noise) for each in category_embeddings(any_base, prompt)]
    categories = category_embeddings(any_base, prompt)
    long = [5 * each / each.norm() * own.norm() for each, own in zip(learnt, categories, strict=True)]
    return ConceptWeights(prompt=prompt, embeddings=tuple(long))


def angle(one, other):
    return math.acos(torch.nn.functional.cosine_similarity(one.double(), other.double()).clamp(-1, 1).item())


def moved(base, weights, **options):
    return drawn_embeddings(base, weights, replace(SAMPLING, **options))


def test_length_and_direction_are_moved_each_alone(any_base, weights, prompt):
    categories = category_embeddings(any_base, prompt)
    assert moved(any_base, weights) is weights.embeddings
    for learnt, category, shorter, turned, onto in zip(
        weights.embeddings,
        categories,
        moved(any_base, weights, word_norm=1.5),
        moved(any_base, weights, word_turn=0.25),
        moved(any_base, weights, word_turn=1.0, word_norm=1.0),
        strict=True,
    ):
        assert shorter.dtype == learnt.dtype and shorter.norm().item() == pytest.approx(
            1.5 * category.norm().item(), rel=1e-5
        )
        assert angle(shorter, learnt) == pytest.approx(0, abs=1e-3)
        assert turned.norm().item() == pytest.approx(learnt.norm().item(), rel=1e-5)
        assert angle(turned, category) == pytest.approx(0.75 * angle(learnt, category), rel=1e-4)
        assert angle(turned, learnt) == pytest.approx(0.25 * angle(learnt, category), rel=1e-4)
        torch.testing.assert_close(onto, category)


def test_what_points_the_opposite_way_keeps_its_direction(any_base, weights, prompt):
    opposite = replace(weights, embeddings=tuple(-2 * each for each in category_embeddings(any_base, prompt)))
    for found, learnt in zip(moved(any_base, opposite, word_turn=0.5), opposite.embeddings, strict=True):
        torch.testing.assert_close(found, learnt)


def test_pictures_and_maps_are_drawn_with_the_moved_word(any_base, weights):
    text = weights.prompt.fill("a photo of a {}")
    options = replace(SAMPLING, word_norm=1.0, word_turn=0.5)
    [[picture]] = generate(any_base, weights, [text], 1, options)
    by_hand = replace(weights, embeddings=drawn_embeddings(any_base, weights, options))
    [[expected]] = generate(any_base, by_hand, [text], 1, SAMPLING)
    [[as_learnt]] = generate(any_base, weights, [text], 1, SAMPLING)
    assert picture.tobytes() == expected.tobytes() != as_learnt.tobytes()
    assert attention_maps(any_base, weights, options, text=text).image.tobytes() == picture.tobytes()

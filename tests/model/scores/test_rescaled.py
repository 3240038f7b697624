import pytest
import torch

from model.scores.image_scores import likeness, likeness_beyond_nearest
from model.scores.rescaled import Ends, identity_ends, text_ends


def units(*shape: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_ends_of_identity_are_the_bases_pictures_and_the_concepts_own_images():
    base, instance = units(3, 2, 5, seed=0), units(4, 5, seed=1)
    cosines = [sorted(float(picture @ image) for image in instance) for picture in base.reshape(-1, 5)]
    ends = identity_ends(base, instance)
    pairs = [float(instance[i] @ instance[j]) for i in range(4) for j in range(4) if i != j]
    assert ends.high == pytest.approx(sum(pairs) / 12)
    without_nearest = [value for row in cosines for value in row[:-1]]
    assert ends.low == pytest.approx(sum(without_nearest) / 18, abs=1e-6)


def test_a_repeated_image_is_no_more_like_the_concept_than_its_images_are():
    instance = units(5, 8, seed=2)
    ends = identity_ends(units(2, 2, 8, seed=3), instance)
    repeated = ends.rescaled(likeness_beyond_nearest(instance[None], instance))
    assert float(repeated.mean()) == pytest.approx(1, abs=1e-5)
    assert float(ends.rescaled(likeness(instance[None], instance)).mean()) > 1.1, "what a plain mean would give it"


def test_the_ends_of_text_are_other_prompts_and_the_bases_own():
    base, text = units(3, 2, 5, seed=0), units(3, 5, seed=1)
    own = [float(base[p, n] @ text[p]) for p in range(3) for n in range(2)]
    other = [float(base[p, n] @ text[q]) for p in range(3) for n in range(2) for q in range(3) if q != p]
    ends = text_ends(base, text)
    assert (ends.low, ends.high) == pytest.approx((sum(other) / 12, sum(own) / 6), abs=1e-6)


def test_ends_that_do_not_lie_apart_give_nothing():
    assert Ends(low=0.5, high=0.5).rescaled(torch.tensor([0.4, 0.9])).tolist() == [0.0, 0.0]
    assert Ends(low=0.2, high=0.6).rescaled(torch.tensor([0.2, 0.4, 0.6])).tolist() == pytest.approx([0.0, 0.5, 1.0])

"""Scores with known answers: embeddings are laid out by hand."""

import torch
import torch.nn.functional as F

from model.scores.image_scores import (
    identity_rank,
    likeness,
    likeness_beyond_nearest,
    prompt_likeness,
    prompt_retrieval,
)

X, Y, Z = torch.eye(3)


def between(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """A unit embedding whose cosine to `one` is the root of `share`, to `other` that of the rest."""
    return one * share**0.5 + other * (1 - share) ** 0.5


def test_likeness_is_the_mean_over_all_images() -> None:
    generated = torch.stack([X, Y])[None]  # (1, 2, 3)
    assert likeness(generated, torch.stack([X, X])).tolist() == [[1, 0]]
    assert likeness(generated, torch.stack([X, Y])).tolist() == [[0.5, 0.5]]


def test_the_nearest_image_is_left_out_of_three() -> None:
    instance = torch.stack([X, Y, Y])
    assert likeness_beyond_nearest(torch.stack([X, Y])[None], instance).tolist() == [[0, 0.5]]
    assert likeness_beyond_nearest(X[None, None], instance[:2]).tolist() == [[0.5]], "of two images none can be spared"


def test_a_prompt_is_held_against_its_own_pictures() -> None:
    generated = torch.stack([torch.stack([X, Y]), torch.stack([Y, Z])])
    assert prompt_likeness(generated, torch.stack([X, Y])).tolist() == [[1, 0], [1, 0]]


def test_retrieval_asks_which_prompt_is_the_nearest() -> None:
    """A picture may be far from its prompt, as long as it is farther from the others."""
    text = torch.stack([X, Y])
    weak = F.normalize(between(X, Z, 0.1), dim=0)  # cosine .32 to its own prompt, 0 to the other
    wrong = between(X, Y, 0.4)  # .63 to its own, .77 to the other
    tie = between(X, Y, 0.5)
    generated = torch.stack([torch.stack([weak, wrong, tie]), torch.stack([Y, Y, X])])
    assert prompt_retrieval(generated, text).tolist() == [[1, 0, 0], [1, 1, 0]]


def test_rank_asks_for_the_thing_and_not_its_kind() -> None:
    """Three images and three look-alikes; where the first image stands third, and so on."""
    instance = torch.stack([between(X, Z, 0.9), between(X, Z, 0.5), between(X, Z, 0.3)])
    look_alikes = torch.stack([between(X, Y, 0.95), between(X, Y, 0.4), between(X, Y, 0.1)])
    (ranked,) = identity_rank(X[None, None], instance, look_alikes)
    # by cosine to X: .95 other, .9 image, .5 image, .4 other, .3 image, .1 other
    assert torch.isclose(ranked[0], torch.tensor((1 / 2 + 2 / 3 + 3 / 5) / 3))
    assert identity_rank(Z[None, None], torch.stack([Z, Z]), look_alikes).item() == 1
    worst = identity_rank(Y[None, None], torch.stack([X, Z]), look_alikes).item()
    assert torch.isclose(torch.tensor(worst), torch.tensor((1 / 4 + 2 / 5) / 2))
    assert identity_rank(X[None, None], X[None], X[None]).item() == 0.5, "a look-alike that is as near comes first"


def test_rank_does_not_depend_on_the_order_of_images_or_pictures() -> None:
    drawn = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    gallery = torch.randn(9, 8, generator=torch.Generator().manual_seed(1))
    plain = identity_rank(drawn, gallery[:4], gallery[4:])
    mixed = identity_rank(drawn.flip(0, 1), gallery[:4].flip(0), gallery[4:].flip(0))
    assert torch.allclose(mixed.flip(0, 1), plain)

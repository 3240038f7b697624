"""[V] moved towards its super-category at drawing, so that the words beside it are heard again; nothing is trained.

TEA (arXiv 2506.22685): a learnt embedding whose norm has grown, or whose direction has left its category, drowns the
rest of the prompt.
"""

import torch
from torch import Tensor

from model.bases.base import Base
from model.diffusion.text_encoding import category_embeddings
from model.drawing.sampling_options import Sampling
from model.weights.concept import ConceptWeights


def drawn_embeddings(base: Base, weights: ConceptWeights, sampling: Sampling) -> tuple[Tensor, ...]:
    """The embeddings (1, width) of [V] with which it is drawn: those that were learnt, unless the options move them."""
    if not sampling.word_norm and not sampling.word_turn:
        return weights.embeddings
    categories = category_embeddings(base, weights.prompt)
    return tuple(
        _moved(learnt, category, sampling.word_norm, sampling.word_turn)
        for learnt, category in zip(weights.embeddings, categories, strict=True)
    )


def _moved(learnt: Tensor, category: Tensor, norm: float, turn: float) -> Tensor:
    """Along the great circle from `learnt` to `category`, `turn` of the way, and `norm` times as long as the latter."""
    one, other = learnt.double().cpu(), category.double().cpu()  # (1, width); the same on every device
    length = norm * other.norm() if norm else one.norm()
    start, goal = one / one.norm(), other / other.norm()
    angle = torch.arccos((start * goal).sum().clamp(-1, 1))
    if torch.sin(angle) < 1e-6:  # there already, or opposite: no great circle leads on
        return (length * start).to(learnt)
    direction = (torch.sin((1 - turn) * angle) * start + torch.sin(turn * angle) * goal) / torch.sin(angle)
    return (length * direction).to(learnt)

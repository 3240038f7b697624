"""Descent on a sphere: what is learnt of an embedding is its direction alone.

Directional Textual Inversion (arXiv 2512.13672): an embedding whose norm grows beyond those of the vocabulary drowns
the words beside it, so [V] stays at the vocabulary's mean norm.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from model.bases.base import Base


def vocabulary_norms(base: Base) -> list[float]:
    """The mean norm of the words' embeddings in each text encoder."""
    return [float(encoder.embeddings.detach().norm(dim=-1).mean()) for encoder in base.text_encoders]


@contextmanager
def same_norms(embeddings: Sequence[torch.Tensor]) -> Iterator[None]:
    """Embeddings (1, width) that are changed inside get back the norms that they had: CoRe's rescaling."""
    norms = [embedding.detach().norm(dim=-1, keepdim=True) for embedding in embeddings]
    yield
    with torch.no_grad():
        for embedding, norm in zip(embeddings, norms, strict=True):
            embedding.mul_(norm / embedding.norm(dim=-1, keepdim=True))


class SphereDescent(torch.optim.Optimizer):
    """Steps of one length along the sphere on which each embedding (1, width) lies.

    The gradient of a direction v is g - `prior` * mu, with mu the direction that the embedding began with (a von
    Mises-Fisher prior); its part along the sphere, at unit length, is followed for `lr` radians at unit norm, and v put
    back onto the sphere.
    """

    def __init__(self, embeddings: Sequence[torch.nn.Parameter], *, lr: float, prior: float) -> None:
        super().__init__([{"params": list(embeddings), "lr": lr, "prior": prior}], {})
        for embedding in embeddings:
            self.state[embedding]["start"] = torch.nn.functional.normalize(embedding.detach(), dim=-1)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of every embedding that has a gradient."""
        for group in self.param_groups:
            for embedding in group["params"]:
                if embedding.grad is None:
                    continue
                norm = embedding.norm(dim=-1, keepdim=True)
                direction = embedding / norm  # (1, width)
                # Of the loss by the direction: the embedding is norm * direction.
                gradient = norm * embedding.grad - group["prior"] * self.state[embedding]["start"]
                along = gradient - (gradient * direction).sum(dim=-1, keepdim=True) * direction
                along = torch.nn.functional.normalize(along, dim=-1)
                moved = torch.nn.functional.normalize(direction - group["lr"] * along, dim=-1)
                embedding.copy_(norm * moved)

"""Muon: orthogonalised momentum for matrices, and AdamW for everything else, as one optimiser pair.

After Keller Jordan's Muon (2024) with the update scale of Moonshot's "Muon is scalable" (2025): every matrix update has
the root mean square of an AdamW update, so that one learning rate fits layers of all shapes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix of (rows, columns).

    Every step multiplies x by a polynomial of its Gram matrix, and these all commute: the steps run on the small Gram
    matrix alone, and x is multiplied once, at the end.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T  # (rows, rows)
    identity = torch.eye(len(gram), device=gram.device)
    product = identity
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for parameters with two or more dimensions; convolutions are flattened to (out, in x height x width).

    Of several processes with equal gradients each orthogonalises its share, and all add all updates.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 2e-3, momentum: float = 0.95, *, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.rank, self.world = rank, world

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            moved.sort(key=lambda parameter: min(parameter.flatten(1).shape) * parameter.numel(), reverse=True)
            updates = []
            for number, parameter in enumerate(moved):
                average = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                if number % self.world != self.rank:
                    updates.append(torch.zeros_like(parameter))
                    continue
                ahead = parameter.grad.lerp(average, group["momentum"])  # Nesterov
                updates.append(orthogonalise(ahead.flatten(1)).view_as(parameter))
            if self.world > 1:
                flat = torch.cat([update.flatten() for update in updates])
                torch.distributed.all_reduce(flat)
                parts = flat.split([parameter.numel() for parameter in moved])
                updates = [part.view_as(parameter) for part, parameter in zip(parts, moved, strict=True)]
            for parameter, update in zip(moved, updates, strict=True):
                rows, columns = parameter.shape[0], parameter[0].numel()
                parameter.add_(update, alpha=-group["lr"] * 0.2 * max(rows, columns) ** 0.5)


def optimisers(
    module: nn.Module, *, muon_lr: float, adam_lr: float, weight_decay: float = 0.0, rank: int = 0, world: int = 1
) -> list[torch.optim.Optimizer]:
    """Muon on the matrices and convolutions of a module, AdamW on its vectors and embeddings.

    `rank` of `world`: this process and how many take the same steps together.
    """
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (matrices if parameter.ndim >= 2 and id(parameter) not in embeddings else rest).append(parameter)
    return [
        Muon(matrices, lr=muon_lr, rank=rank, world=world),
        torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True),
    ]

"""Numbers in 2, 4 or 8 bits: evenly spaced levels around zero, none of them zero, packed into bytes.

Code c of b bits stands for c - (2**b - 1) / 2 times a step that is chosen for each vector.
"""

import torch

_STEPS = {2: 0.9957, 4: 0.3352, 8: 0.0308}
"""The best step for normally distributed numbers, in their standard deviation (Max, 1960); that of 8 bits by trial."""
_TRIED = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
"""Multiples of it that are tried, since trained vectors are not quite normal."""


def levels(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """What codes stand for, in steps, float32."""
    return codes.float() - (2**bits - 1) / 2


def nearest_codes(vectors: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes, uint8 (count, length), and steps, bfloat16 (count), of vectors (count, length): nearest in squares."""
    deviation = vectors.square().mean(dim=1).sqrt()  # (count)
    best_codes, best_steps, least = None, None, None
    for factor in _TRIED:
        steps = (deviation * (_STEPS[bits] * factor)).to(torch.bfloat16)
        codes = _rounded(vectors, steps, bits)
        error = (levels(codes, bits) * steps.float()[:, None] - vectors).square().sum(dim=1)
        if least is None or best_codes is None or best_steps is None:
            best_codes, best_steps, least = codes, steps, error
            continue
        better = error < least
        best_codes = torch.where(better[:, None], codes, best_codes)
        best_steps, least = torch.where(better, steps, best_steps), torch.where(better, error, least)
    assert best_codes is not None and best_steps is not None
    return best_codes, best_steps


def packed(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes, uint8 of any shape, one after the other in bytes, the first in the lowest bits: uint8 (bytes)."""
    each = 8 // bits
    flat = codes.flatten()
    flat = torch.cat([flat, flat.new_zeros(-len(flat) % each)]).reshape(-1, each)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=flat.device)
    return (flat << shifts).sum(dim=1, dtype=torch.uint8)


def unpacked(content: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """The first `count` codes of what `packed` has packed, uint8 (count)."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=content.device)
    return ((content[:, None] >> shifts) & (2**bits - 1)).flatten()[:count]


def packed_size(count: int, bits: int) -> int:
    """Bytes of so many codes."""
    return -(-count * bits // 8)


def _rounded(vectors: torch.Tensor, steps: torch.Tensor, bits: int) -> torch.Tensor:
    size = steps.float().clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    return (vectors / size + (2**bits - 1) / 2).round().clamp(0, 2**bits - 1).to(torch.uint8)

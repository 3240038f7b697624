"""A change of the base in few bytes: low rank, low bits, most of both where most of the change is.

The change of each weight, as a matrix (out, in x height x width), is a sum of components, a column times a row, by its
singular values (Eckart and Young, 1936). What a component is worth is its squared singular value, what it costs its
length in bits. Components are taken in 2, 4 or 8 bits, by what a byte brings, until the bytes are spent: layers that
changed much get many, others few (ranks by energy, as in arXiv 2508.16863; bits as in reverse water-filling). Then
columns and rows are fitted to each other once more, so that the rows make good for what was lost of the columns.

What is cut away makes every change shorter, and so the concept weaker. Each layer's change is therefore stretched to
the length that it had: that is farther from it in squares, and nearer in pictures (docs/performance.md has figures).

Biases and norms have no rank; they are kept in 8 bits.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from model.weights.codes import levels, nearest_codes, packed, packed_size, unpacked

USUAL_RANKS = 28
"""Components a layer on the average, if all were in 4 bits: what a small form may spend."""
_BITS = (8, 4, 2)
_LOST = {8: 5e-5, 4: 0.0115, 2: 0.1188}
"""Share of the energy of normally distributed numbers that is lost by so many bits."""
_STEP_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How the change of one parameter lies in the bytes."""

    shape: tuple[int, ...]
    kept: tuple[int, int, int]
    """Components in 8, 4 and 2 bits; of a parameter without rank (1, 0, 0)."""

    @property
    def sides(self) -> tuple[int, int]:
        """Length of a component's column and of its row; of a parameter without rank there is no column."""
        return (self.shape[0], math.prod(self.shape[1:])) if len(self.shape) > 1 else (0, math.prod(self.shape))

    @property
    def blocks(self) -> Iterator[tuple[int, int]]:
        """Bits, and how many components have them."""
        return ((bits, count) for bits, count in zip(_BITS, self.kept, strict=True) if count)

    @property
    def size(self) -> int:
        """Bytes of its codes."""
        return sum(packed_size(count * side, bits) for bits, count in self.blocks for side in self.sides)


@dataclass(frozen=True, kw_only=True)
class SmallChange:
    """The change of many parameters, packed."""

    layers: Mapping[str, Layer]
    """By the parameters' names, in the order of their bytes."""
    codes: torch.Tensor
    """uint8 (bytes): for each layer and each number of bits the columns, then the rows."""
    steps: torch.Tensor
    """bfloat16 (components): of each component, in the same order."""

    def __post_init__(self) -> None:
        wanted = sum(layer.size for layer in self.layers.values()), sum(sum(x.kept) for x in self.layers.values())
        found = (tuple(self.codes.shape), self.codes.dtype), (tuple(self.steps.shape), self.steps.dtype)
        if found != (((wanted[0],), torch.uint8), ((wanted[1],), torch.bfloat16)):
            raise ValueError(f"{wanted[0]} bytes and {wanted[1]} steps belong to its layers, not {found}")

    @property
    def bytes(self) -> int:
        """Of codes and steps."""
        return self.codes.nbytes + self.steps.nbytes

    def changes(self, device: torch.device | str = "cpu") -> Iterator[tuple[str, torch.Tensor]]:
        """Each parameter's name and its change, float32, on a device."""
        at = step = 0
        for name, layer in self.layers.items():
            change = torch.zeros(layer.sides if layer.sides[0] else (1, layer.sides[1]), device=device)
            for bits, count in layer.blocks:
                sides = []
                for side in layer.sides:
                    size = packed_size(count * side, bits)
                    content = self.codes[at : at + size].to(device)
                    sides.append(levels(unpacked(content, bits, count * side), bits).reshape(count, side))
                    at += size
                scaled = sides[1] * self.steps[step : step + count].to(device).float()[:, None]  # (count, row)
                step += count
                change += sides[0].T @ scaled if layer.sides[0] else scaled
            yield name, change.reshape(layer.shape)


@torch.no_grad()
def shrink(changes: Mapping[str, torch.Tensor], ranks: float = USUAL_RANKS) -> SmallChange:
    """The changes of parameters, by name, in about as many bytes as `ranks` components a layer in 4 bits would take."""
    names = sorted(changes)
    parts = {name: _components(changes[name]) for name in names}
    budget = sum(ranks * _cost(changes[name].shape, 4) for name in names if changes[name].ndim > 1)
    kept = _choice({name: energies for name, (energies, _) in parts.items()}, changes, budget)
    layers, codes, steps = {}, [], []
    for name in names:
        change = changes[name].float()
        layers[name] = layer = Layer(shape=tuple(change.shape), kept=kept[name])
        for left, right, step in _coded(change, parts[name][1], layer):
            codes += [left, right]
            steps.append(step)
    return SmallChange(
        layers=layers,
        codes=torch.cat(codes) if codes else torch.zeros(0, dtype=torch.uint8),
        steps=torch.cat(steps) if steps else torch.zeros(0, dtype=torch.bfloat16),
    )


def _components(change: torch.Tensor) -> tuple[list[float], torch.Tensor]:
    """Energies of a matrix' components, largest first, and their columns (rank, out) of length 1.

    By the eigenvectors of its smaller square, in float64: that is quicker than its singular values, and what is lost by
    squaring are components that nobody keeps.
    """
    if change.ndim < 2:
        return [], change.new_zeros(0, 0)
    matrix = change.flatten(1).double()
    out, inside = matrix.shape
    values, vectors = torch.linalg.eigh(matrix @ matrix.T if out <= inside else matrix.T @ matrix)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    columns = vectors if out <= inside else torch.nn.functional.normalize(matrix @ vectors, dim=0)
    return values.tolist(), columns.T


def _cost(shape: Sequence[int], bits: int) -> float:
    """Bytes of one component."""
    return (shape[0] + math.prod(shape[1:])) * bits / 8 + _STEP_BYTES


def _choice(
    energies: Mapping[str, Sequence[float]], changes: Mapping[str, torch.Tensor], budget: float
) -> dict[str, tuple[int, int, int]]:
    """How many components of each parameter are kept in 8, 4 and 2 bits: what brings most for its bytes goes first."""
    steps: list[tuple[float, float, str, int]] = []
    for name, found in energies.items():
        costs = [0.0, *(_cost(changes[name].shape, bits) for bits in reversed(_BITS))]
        worth = [0.0, *(1 - 2 * _LOST[bits] for bits in reversed(_BITS))]  # column and row lose it
        raises = [(b - a, d - c) for (a, b), (c, d) in zip(pairwise(worth), pairwise(costs), strict=True)]
        for energy in found:
            if energy > 0:
                steps += [(energy * more / cost, cost, name, level) for level, (more, cost) in enumerate(raises)]
    counts = {name: [0, 0, 0] for name in energies}
    spent = 0.0
    for _, cost, name, level in sorted(steps, key=lambda step: (-step[0], step[2], step[3])):
        if spent + cost > budget:
            break
        spent += cost
        counts[name][level] += 1  # components that have at least so many bits
    return {
        name: (eight, four - eight, two - four) if changes[name].ndim > 1 else (1, 0, 0)
        for name, (two, four, eight) in counts.items()
    }


def _coded(
    change: torch.Tensor, columns: torch.Tensor, layer: Layer
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For each number of bits: packed columns, packed rows, steps."""
    if change.ndim < 2:
        codes, step = nearest_codes(change.reshape(1, -1), 8)
        yield codes.new_zeros(0), packed(codes, 8), step
        return
    blocks, total = list(layer.blocks), sum(layer.kept)
    if not total:
        return
    matrix = change.flatten(1).double()
    left_codes, left, _ = _in_blocks(columns[:total], blocks)
    rows = torch.linalg.lstsq(left.T, matrix).solution  # (total, in): what suits the columns as they are kept
    row_codes, right, steps = _in_blocks(rows, blocks)
    length = (left.T @ (right * steps.double()[:, None])).norm()
    steps = (steps.double() * (matrix.norm() / length)).to(torch.bfloat16)
    start = 0
    for number, (bits, count) in enumerate(blocks):
        yield packed(left_codes[number], bits), packed(row_codes[number], bits), steps[start : start + count]
        start += count


def _in_blocks(
    vectors: torch.Tensor, blocks: Sequence[tuple[int, int]]
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Codes of each block, all vectors as their codes say, in steps, float64, and the steps."""
    codes, said, steps, start = [], [], [], 0
    for bits, count in blocks:
        found, step = nearest_codes(vectors[start : start + count].float(), bits)
        codes.append(found)
        said.append(levels(found, bits).double())
        steps.append(step)
        start += count
    return codes, torch.cat(said), torch.cat(steps)

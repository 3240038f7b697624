"""How pictures are sampled, without the libraries that sample them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.methods.limits import number, problems_of, whole_number

MOVES = ("word_norm", "word_turn")
"""Options by which [V] is moved towards its super-category (`model.drawing.word_adjustment`)."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Options of `model.drawing.sample.generate`."""

    guidance_scale: float = number(1, 50, default=7.5)
    """Classifier-free guidance; 1 is none, and half the work."""
    num_inference_steps: int = whole_number(1, 1000, default=25)
    """Steps of DPM-Solver++."""
    seed: int = whole_number(0, 2**63 - 1, default=0)
    """Decides the noise that each picture starts from."""
    batch_size: int = whole_number(1, 1024, default=16)
    """Pictures sampled side by side: memory and speed, not what they show."""

    word_norm: float = number(0, 100, default=0.0)
    """Length of [V]'s embedding in lengths of the super-category's; 0 leaves it as it was learnt."""
    word_turn: float = number(0, 1, default=0.0)
    """How far [V]'s embedding is turned to the super-category's: 0 not at all, 1 onto it."""

    def problems(self) -> list[str]:
        """One sentence for each field outside its limits."""
        return problems_of(self, "sampling")


def moves_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """How [V] is moved, of recorded facts that hold it only where it is."""
    return {name: facts[name] for name in MOVES if name in facts}

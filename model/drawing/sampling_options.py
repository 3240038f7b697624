"""How pictures are sampled, without the libraries that sample them."""

from dataclasses import dataclass

from model.methods.limits import number, problems_of, whole_number


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

    def problems(self) -> list[str]:
        """One sentence for each field outside its limits."""
        return problems_of(self, "sampling")

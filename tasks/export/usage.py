"""How diffusers draws with an export, for its card; a test runs what stands there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.registry.training_facts import TrainingFacts

if TYPE_CHECKING:
    from model.bases.base import Base

LEAST_VERSIONS = "diffusers 0.33, transformers 4.57"
"""With which exports were opened; nothing says that older ones fail."""


def tried(base: "Base", beside: str = "") -> str:
    """With which libraries exports of such a base were opened."""
    if only := base.family.opened_with:
        return f"Opened with {only}."
    return f"Opened with {LEAST_VERSIONS}{beside}, and with later ones."


def diffusers_usage(
    base: "Base",
    record: TrainingFacts,
    *loading: str,
    imports: Sequence[str] = ("from diffusers import DiffusionPipeline",),
) -> str:
    """How diffusers draws the picture that `conceptbooth generate` draws; `loading` are lines that make `pipeline`."""
    drawn = record.evaluation.parameters
    prompt = f"a photo of a {record.concept.placeholder_token} {record.concept.super_category} in the snow"
    return "\n".join(
        [
            "```python",
            "import hashlib",
            "",
            "import torch",
            *imports,
            "",
            *loading,
            "",
            "# picture 0 of seed 7, as `conceptbooth generate --seed 7` begins it",
            'seed = int.from_bytes(hashlib.sha256(b"7/0").digest()[:7], "big")',
            "picture = pipeline(",
            f'    prompt="{prompt}",',  # not every pipeline takes it first
            "    generator=torch.Generator().manual_seed(seed),",
            f"    guidance_scale={base.family.pipeline_guidance(drawn['guidance_scale'])},",
            f"    num_inference_steps={drawn['num_inference_steps']},",
            *(f"    {name}={value!r}," for name, value in base.family.call_options(base.resolution).items()),
            ").images[0]",
            "```",
        ]
    )

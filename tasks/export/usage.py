"""How diffusers draws with an export, for its card; a test runs what stands there."""

from collections.abc import Sequence

from tasks.registry.training_facts import TrainingFacts

LEAST_VERSIONS = "diffusers 0.33, transformers 4.57"
"""With which exports were opened; nothing says that older ones fail."""


def diffusers_usage(
    record: TrainingFacts, *loading: str, imports: Sequence[str] = ("from diffusers import DiffusionPipeline",)
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
            f'    "{prompt}",',
            "    generator=torch.Generator().manual_seed(seed),",
            f"    guidance_scale={drawn['guidance_scale']},",
            f"    num_inference_steps={drawn['num_inference_steps']},",
            ").images[0]",
            "```",
        ]
    )

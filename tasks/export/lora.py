"""A version as a LoRA and an embedding for diffusers, with what is lost by that."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.drawing.sampling_options import Sampling
from model.errors import InputError
from tasks.files.hashing import DigestMemory
from tasks.jobs.models import MODEL_SUFFIXES
from tasks.project.settings import Settings
from tasks.registry.training_facts import TrainingFacts
from tasks.store.artefacts import IMAGES
from tasks.store.pictures import pictures
from tasks.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from model.bases.base import Base
    from model.scores.evaluator import Evaluator
    from model.weights.concept import ConceptWeights

LOSS = "loss.json"
EMBEDDING = "embedding.safetensors"
Score = Callable[["ConceptWeights"], Mapping[str, float]]


def write_lora(
    base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path, rank: int | None, score: Score | None
) -> tuple[str, str]:
    """Write the LoRA, the embedding, and what is lost: of each parameter's change, and by `score` of the scores.

    Returns library and usage, for the card. Raises InputError where the training changed nothing that a LoRA can hold.
    """
    from safetensors.torch import save_file

    from model.exports.low_rank import as_diffusers_saves, low_rank, restored

    found = low_rank(base, weights, rank)
    if not found.layers:
        raise InputError(f"concept '{record.concept.name}': its training changed no layer that a LoRA could stand for")
    base.family.pipeline_class.save_lora_weights(folder, **as_diffusers_saves(found.layers))
    save_file(embeddings_for_others(base, weights), folder / EMBEDDING, metadata={"format": "pt"})
    loss: dict[str, Any] = {
        "rank": found.rank,
        "relative_error": found.relative,
        "parameters": {loss.parameter: loss.relative for loss in found.losses},
    }
    lost = f"{found.relative:.1%} of the model's change is lost"
    said = f"Rank {found.rank}: {lost} (Frobenius norm; {LOSS} has each layer's)."
    if score:
        cut = score(restored(weights, found))
        whole = {name: record.scores[name]["mean"] for name in ("clip_i", "clip_t")}
        loss["scores"] = {name: {"whole": whole[name], "lora": cut[name]} for name in whole}
        told = ", ".join(f"{name} {whole[name]:.3f} -> {cut[name]:.3f}" for name in whole)
        said += f" Scores, of the whole model and of this: {told}."
    (folder / LOSS).write_text(json.dumps(loss, indent=1) + "\n", encoding="utf-8")
    reference, revision = record.base["reference"], record.base["revision"]
    origin = f'"{reference}", revision="{revision}"' if revision else '"PATH_OF_THE_BASE"'
    # Spelled out: the scheduler's file of a base may hold what somebody once drew with.
    options = base.family.sampler_options(base.noise_scheduler)
    solver = ", ".join(f"{name}={value!r}" for name, value in options.items())
    usage = diffusers_usage(
        record,
        f"pipeline = DiffusionPipeline.from_pretrained({origin})",
        f"pipeline.scheduler = {base.family.sampler}({solver})",
        'pipeline.load_lora_weights("PATH_OF_THIS_FOLDER", weight_name="pytorch_lora_weights.safetensors")',
        f'embeddings = load_file("PATH_OF_THIS_FOLDER/{EMBEDDING}")',
        *(line for part in base.family.text for line in base.family.word_usage(part, record.concept.placeholder_token)),
        imports=[
            f"from diffusers import DiffusionPipeline, {base.family.sampler}",
            "from safetensors.torch import load_file",
        ],
    )
    return "diffusers", f"{usage}\n\n{said}"


def embeddings_for_others(base: "Base", weights: "ConceptWeights") -> "dict[str, Tensor]":
    """The embedding of [V] in each text encoder, (1, width), by the names that other programs know it by."""
    rows = zip(base.family.text, weights.embeddings, strict=True)
    return {part.embedding_key: row.contiguous() for part, row in rows}


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


def evaluator_of(settings: Settings, record: TrainingFacts) -> "Evaluator":
    """The model that scored a version. Raises InputError where it is not there, or is another one."""
    from model.runtime.device import open_device
    from model.scores.evaluator import Evaluator

    recorded = record.evaluation.evaluator
    if recorded is None:
        raise InputError(
            f"concept '{record.concept.name}': the model that scored it was not recorded; leave --measure out"
        )
    reference, revision = recorded["reference"], recorded["revision"]
    location = reference if revision else str(settings.root / reference)
    if not revision:
        memory = DigestMemory(settings.home / "digests.json")
        if memory.folder(Path(location), MODEL_SUFFIXES) != recorded["files"]:
            raise InputError(
                f"evaluator {location}: not the one that scored this version, so no loss can be told by it; put it "
                "back, or leave --measure out"
            )
        memory.save()
    return Evaluator.load(location, revision, device=open_device(settings.device))


def score_again(
    store: Store, evaluator: "Evaluator", base: "Base", record: TrainingFacts, weights: "ConceptWeights"
) -> dict[str, float]:
    """Means of the scores of other weights, by the prompts, seeds and images by which the version was scored."""
    from model.drawing.sample import generate
    from model.scores.metrics import embed, scores_of

    drawn = record.evaluation.parameters
    assert record.evaluation.seed is not None  # what draws has one
    options = {name: drawn[name] for name in ("guidance_scale", "num_inference_steps", "batch_size")}
    sampling = Sampling(seed=record.evaluation.seed, **options)
    autocast = record.evaluation.numeric_policy["autocast"]
    filled = [weights.prompt.fill(prompt) for prompt in drawn["prompts"]]
    plain = [weights.prompt.without_placeholder(prompt) for prompt in drawn["prompts"]]
    generated = generate(base, weights, filled, drawn["images_per_prompt"], sampling, autocast=autocast)
    images = pictures(store, record.prepare, IMAGES)
    scores = scores_of(embed(generated, images, plain, evaluator=evaluator), plain)
    return {name: interval.mean for name, interval in scores.intervals.items()}

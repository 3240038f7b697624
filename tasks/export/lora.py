"""A version as a LoRA and an embedding, for diffusers or under kohya's names, with what is lost by that."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from tasks.export.usage import diffusers_usage, tried
from tasks.export.written import Written, called_elsewhere, file_stem
from tasks.registry.training_facts import TrainingFacts

if TYPE_CHECKING:
    from torch import Tensor

    from model.bases.base import Base
    from model.exports.low_rank import LowRank
    from model.weights.concept import ConceptWeights

LOSS = "loss.json"
EMBEDDING = "embedding.safetensors"
Score = Callable[["ConceptWeights"], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a version is cut down to a LoRA."""

    rank: int | None
    """None for that of its training, or a usual one."""
    score: Score | None
    """What measures the scores of other weights, if what they lose is asked for."""


def write_lora(base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path, cut: Cut) -> Written:
    """Write the LoRA and the embedding for diffusers, and what is lost: of each parameter's change, and of the scores.

    Raises InputError where the training changed nothing that a LoRA can hold.
    """
    from safetensors.torch import save_file

    from model.exports.low_rank import as_diffusers_saves

    found = _cut(base, weights, record, cut)
    base.family.pipeline_class.save_lora_weights(folder, **as_diffusers_saves(found.layers))
    save_file(embeddings_for_others(base, weights), folder / EMBEDDING, metadata={"format": "pt"})
    said, scores = _write_loss(weights, record, folder, found, cut.score)
    reference, revision = record.base["reference"], record.base["revision"]
    origin = f'"{reference}", revision="{revision}"' if revision else '"PATH_OF_THE_BASE"'
    # Spelled out: the scheduler's file of a base may hold what somebody once drew with.
    options = base.family.sampler_options(base.noise_scheduler)
    solver = ", ".join(f"{name}={value!r}" for name, value in options.items())
    usage = diffusers_usage(
        base,
        record,
        f"pipeline = DiffusionPipeline.from_pretrained({origin})",
        f"pipeline.scheduler = {base.family.sampler}({solver})",
        'pipeline.load_lora_weights("PATH_OF_THIS_FOLDER", weight_name="pytorch_lora_weights.safetensors")',
        f'embeddings = load_file("PATH_OF_THIS_FOLDER/{EMBEDDING}")',
        *(line for part in base.family.text for line in base.family.word_usage(part, record.concept.placeholder_token)),
        imports=[
            f"from diffusers import DiffusionPipeline, {base.family.sampler}",
            *base.family.usage_imports,
            "from safetensors.torch import load_file",
        ],
    )
    opened = tried(base, " and peft 0.17")
    folder_of_base = base.source.folder
    if (
        not base.family.opened_with
        and folder_of_base
        and not all((folder_of_base / part.tokenizer / "vocab.json").is_file() for part in base.family.text)
    ):
        opened += (
            " The base's folder was written by transformers 5 and opens with no older one; what the form `diffusers` "
            "writes does."
        )
    return Written(library="diffusers", usage=f"{usage}\n\n{opened}\n\n{said}", lost=said, scores=scores)


def write_kohya(base: "Base", weights: "ConceptWeights", record: TrainingFacts, folder: Path, cut: Cut) -> Written:
    """Write the LoRA under kohya's names with alphas, and the embedding. Loss and errors as of `write_lora`."""
    from safetensors.torch import save_file

    from model.exports.kohya_names import kohya_facts, kohya_lora

    found, name = _cut(base, weights, record, cut), file_stem(record)
    lora, word = f"{name}-lora.safetensors", f"{name}.safetensors"
    for place, tensors, facts in (
        (f"lora/{lora}", kohya_lora(base, found.layers), kohya_facts(base, found.rank, f"{name}-lora")),
        (f"embeddings/{word}", embeddings_for_others(base, weights), {"format": "pt"}),
    ):
        (folder / place).parent.mkdir()
        save_file(tensors, folder / place, metadata=facts)
    said, scores = _write_loss(weights, record, folder, found, cut.score)
    category = record.concept.super_category
    usage = f"""A LoRA and an embedding; both are needed. They go on top of the base `{record.base["reference"]}`.

| program | `lora/{lora}` goes into | `embeddings/{word}` goes into | prompt |
|---|---|---|---|
| Stable Diffusion web UI, Forge | `models/Lora` | `embeddings` | \
`a photo of a {name} {category} <lora:{name}-lora:1>` |
| ComfyUI (node Load LoRA, strength 1) | `models/loras` | `models/embeddings` | \
`a photo of a embedding:{name} {category}` |

Every layer has its rank as its alpha, so the strength is 1. For diffusers, `--as lora` is the form.

{said}"""
    return Written(library="kohya", usage=usage, called=called_elsewhere(name, record), lost=said, scores=scores)


def embeddings_for_others(base: "Base", weights: "ConceptWeights") -> "dict[str, Tensor]":
    """The embedding of [V] in each text encoder, (1, width), by the names that other programs know it by."""
    rows = zip(base.family.text, weights.embeddings, strict=True)
    return {part.embedding_key: row.contiguous() for part, row in rows}


def _cut(base: "Base", weights: "ConceptWeights", record: TrainingFacts, cut: Cut) -> "LowRank":
    from model.exports.low_rank import low_rank

    found = low_rank(base, weights, cut.rank)
    if not found.layers:
        raise InputError(f"concept '{record.concept.name}': its training changed no layer that a LoRA could stand for")
    return found


def _write_loss(
    weights: "ConceptWeights", record: TrainingFacts, folder: Path, found: "LowRank", score: Score | None
) -> tuple[str, dict[str, dict[str, float]] | None]:
    """Write what is lost; the same in a sentence, and the scores of the whole model and of the LoRA if measured."""
    from model.exports.low_rank import restored

    loss: dict[str, Any] = {
        "rank": found.rank,
        "relative_error": found.relative,
        "parameters": {loss.parameter: loss.relative for loss in found.losses},
    }
    lost = f"{found.relative:.1%} of the model's change is lost"
    said = f"Rank {found.rank}: {lost} (Frobenius norm; {LOSS} has each layer's)."
    scores = None
    if score:
        cut = score(restored(weights, found))
        whole = {name: record.scores[name]["mean"] for name in ("clip_i", "clip_t")}
        loss["scores"] = scores = {name: {"whole": whole[name], "lora": cut[name]} for name in whole}
        told = ", ".join(f"{name.upper().replace('_', '-')} {whole[name]:.3f} -> {cut[name]:.3f}" for name in whole)
        said += f" Scores, of the whole model and of this: {told}."
    (folder / LOSS).write_text(json.dumps(loss, indent=1) + "\n", encoding="utf-8")
    return said, scores

"""A model card in the form of the Hugging Face hub, from the record of a training and nothing else."""

from collections.abc import Mapping

from tasks.concepts.concepts import NOT_STATED
from tasks.figures.score_words import read_scores
from tasks.project.params import EXACT, SMALL
from tasks.registry.training_facts import TrainingFacts
from tasks.store.manifest import Manifest

CARD = "README.md"
"""What the hub calls it."""
_OF_THE_HUB = ("apache-2.0", "mit", "creativeml-openrail-m", "openrail", "openrail++")
"""Licences of base models that the hub has names for."""
CODE_LICENCE = "Apache-2.0"
"""Of this program, as pyproject.toml has it."""

_FORMS = {
    EXACT: "exact: every changed parameter, float32",
    SMALL: "small: how the base has changed, in low rank and low bits; the scores are of just these",
}


def model_card(
    record: TrainingFacts,
    *,
    usage: str,
    library: str,
    called: str | None = None,
    samples: Mapping[str, str] | None = None,
) -> str:
    """The card of a concept; `usage` (Markdown) says how this form of the model is loaded, with which library.

    `called` is what prompts call the concept in that form, if that is not what the training called it; `samples` are
    picture files beside the card, with their prompts.

    The same training gives the same card.
    """
    from huggingface_hub import ModelCard, ModelCardData

    base, concept, evaluation = record.base, record.concept, record.evaluation
    called = called or f"{concept.placeholder_token} {concept.super_category}"
    of_the_hub = base["revision"] is not None
    licence = base.get("licence")
    data = ModelCardData(
        library_name=library,
        pipeline_tag="text-to-image",
        base_model=base["reference"] if of_the_hub else None,  # the hub knows no folders
        license=licence and (licence.lower() if licence.lower() in _OF_THE_HUB else "other"),
        license_name=licence if licence and licence.lower() not in _OF_THE_HUB else None,
        tags=["stable-diffusion", "conceptbooth"],
        instance_prompt=f"a photo of a {called}",
    )
    drawn, evaluator = evaluation.parameters, evaluation.evaluator
    settings = f"guidance {drawn['guidance_scale']}, {drawn['num_inference_steps']} steps, seed {evaluation.seed}"
    known_as = f"`{base['reference']}`" + (f" at `{base['revision']}`" if of_the_hub else "")
    git = evaluation.git
    lines = [
        "---",
        data.to_yaml(),
        "---",
        "",
        f"# {concept.name} ({concept.super_category})",
        "",
        f"{known_as}, taught a new {concept.super_category} by {record.method} from {record.image_count} images.",
        f"In a prompt it is called `{called}`.",
        "",
        *_samples(samples or {}, called),
        "## Use",
        "",
        usage.strip(),
        "",
        "## Scores",
        "",
        "| score | this model | untrained base | |",
        "|---|---|---|---|",
        *(f"| {read.name} | {read.trained} | {read.base} | {read.meaning} |" for read in read_scores(record.scores)),
        "",
        f"Means with 95 % intervals: {len(drawn['prompts'])} prompts, {drawn['images_per_prompt']} pictures each,",
        settings + (f"; measured by `{evaluator['reference']}`." if evaluator else "."),
        "",
        "## Where it comes from",
        "",
        "| | |",
        "|---|---|",
        f"| content | `{record.key}` |",
        f"| weights | sha256 `{record.weights.sha256}`, {record.weights.size:,} bytes, {_FORMS[record.form]} |",
        f"| base | {known_as}, digest `{base.get('digest')}` |",
        f"| images | {record.image_count}, DVC `{record.image_set.digest}`; source {concept.source}; "
        f"consent {concept.consent} |",
        f"| code | git `{git['commit']}`{', with changes that are in no commit' if git['dirty'] else ''} |"
        if git
        else "| code | outside git |",
        *(_stage(manifest) for manifest in (record.prepare, *record.stages, evaluation)),
        "",
        "## Licences",
        "",
        "| of | licence |",
        "|---|---|",
        f"| the images that it was learned from | {concept.licence} |",
        f"| the base | {licence or NOT_STATED} |",
        f"| the code that made it, ConceptBooth | {CODE_LICENCE} |",
        "",
        "Images and base are in the weights: what both allow may be done with them.",
        "",
        "## Limits",
        "",
        f"It knows one {concept.super_category} from {record.image_count} images, with all that these happen to show,",
        "and has the faults and biases of its base. No filter looks at what it draws. What it draws is made by an AI,",
        "and should say so.",
    ]
    return str(ModelCard("\n".join(lines))).rstrip() + "\n"


def _samples(samples: Mapping[str, str], called: str) -> list[str]:
    """Lines that show pictures of its evaluation, with their prompts."""
    if not samples:
        return []
    told = [prompt.replace("{}", called) for prompt in samples.values()]
    pictures = " | ".join(f"![{text}]({name})" for text, name in zip(told, samples, strict=True))
    return [f"| {' | '.join(told)} |", f"|{'---|' * len(told)}", f"| {pictures} |", ""]


def _stage(manifest: Manifest) -> str:
    return f"| {manifest.stage} | `{manifest.key}`, {manifest.created}, on {manifest.device} |"

"""Scores against what was measured: derived again from the stored embeddings, and these from the stored pictures.

Whoever can write to the store can write any number into scores.json and seal the manifest anew: a gate takes the scores
that the embeddings give. Embeddings and pictures can be invented as well; against that a signature stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import InputError
from tasks.lineage.check_results import CheckResult, fault, good, unchecked
from tasks.lineage.evaluations import Evaluation, evaluation_of
from tasks.project.settings import Settings
from tasks.store.artefacts import EMBEDDINGS, GENERATIONS, IMAGES, WEIGHTS
from tasks.store.manifest import Manifest
from tasks.store.pictures import pictures
from tasks.store.scores import load_scores
from tasks.store.store import Store

_ROUNDING = 1e-4
"""Of a cosine: another machine, or a GPU, adds in another order."""
_SHARE = 0.02
"""Of prompt retrieval, which counts: rounding may turn a near tie."""
_SAME_PICTURE = 0.999
"""Least cosine of two embeddings of one picture by one model, on whatever device."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An evaluation as its embeddings give it."""

    evaluation: Evaluation
    checks: tuple[CheckResult, ...]
    """Whether the scores on record are those."""


def measured_evaluation(store: Store, evaluation: Manifest) -> Measured:
    """The scores of an evaluation, derived from its embeddings; those on record, and it is said, where it has none.

    Raises Damaged where the artefact is not as its manifest says, and StoreFailed.
    """
    what = f"evaluate {evaluation.key[:12]}: scores"
    document = load_scores(store, evaluation)
    if EMBEDDINGS not in evaluation.files:
        said = f"its embeddings were not kept ({EMBEDDINGS}): they cannot be derived again"
        return Measured(evaluation=evaluation_of(evaluation, document), checks=(unchecked(what, said),))
    try:
        derived = _derived(store, evaluation)
    except ValueError as error:
        checks = (fault(what, f"{EMBEDDINGS} is none of these pictures and prompts: {error}"),)
        return Measured(evaluation=evaluation_of(evaluation, document), checks=checks)
    differing = list(_differing(document, derived))
    check = (
        fault(what, f"are not those of its embeddings: {'; '.join(differing)}")
        if differing
        else good(what, "are those that its embeddings give")
    )
    return Measured(evaluation=evaluation_of(evaluation, {**document, **derived}), checks=(check,))


def check_pictures(settings: Settings, store: Store, manifests: Mapping[str, Manifest]) -> Iterator[CheckResult]:
    """The stored embeddings against new ones of the stored pictures, images and prompts. Raises Damaged, StoreFailed.

    Loads the evaluator (and the identity model) that the evaluation names, which has to be the very same.
    """
    from model.weights.concept import ConceptWeights

    evaluation = manifests["evaluate"]
    what = f"evaluate {evaluation.key[:12]}: embeddings"
    stored = _embeddings(store, evaluation)
    last = max((stage for stage in manifests if stage.startswith("train-")), key=lambda stage: int(stage.split("-")[1]))
    prompt = ConceptWeights.load(store.file(manifests[last], WEIGHTS)).prompt
    texts = [prompt.without_placeholder(text) for text in evaluation.parameters["prompts"]]
    drawn = [picture for number in range(len(texts)) for picture in pictures(store, evaluation, _room(number))]
    images = pictures(store, manifests["prepare"], IMAGES)
    try:
        evaluator = _loaded(settings, "evaluator", evaluation)
        found = {
            "clip_generated": evaluator.embed_images(drawn),
            "clip_instance": evaluator.embed_images(images),
            "clip_text": evaluator.embed_text(texts),
        }
        if evaluation.identity_model is not None:
            identity = _loaded(settings, "identity_model", evaluation)
            found |= {
                "identity_generated": identity.embed_images(drawn),
                "identity_instance": identity.embed_images(images),
            }
    except InputError as error:
        yield unchecked(what, f"what measured them cannot be asked again: {error}")
        return
    for name, fresh in found.items():
        kept = stored.get(name)
        kept = kept.flatten(0, -2) if kept is not None else None
        if kept is None or kept.shape != fresh.shape:
            yield fault(f"{what} {name}", "are of other pictures or prompts than the store holds")
            continue
        nearest = float((kept * fresh.cpu()).sum(dim=-1).min())
        said = f"the stored pictures give them again (cosine at least {nearest:.4f})"
        if nearest >= _SAME_PICTURE:
            yield good(f"{what} {name}", said)
        else:
            yield fault(f"{what} {name}", f"are not those of the stored pictures (a cosine of {nearest:.4f})")


def _derived(store: Store, evaluation: Manifest) -> dict[str, Any]:
    """Scores as `scores.json` holds them. ValueError where the embeddings cannot be those of this evaluation."""
    from model.scores.metrics import Embeddings, scores_of

    tensors = _embeddings(store, evaluation)
    prompts = list(evaluation.parameters["prompts"])
    drawn = sum(name.startswith(f"{GENERATIONS}/") for name in evaluation.files)
    try:
        embeddings = Embeddings(**tensors)
    except TypeError as error:
        raise ValueError(str(error)) from error
    shape = tuple(embeddings.clip_generated.shape)
    if len(shape) != 3 or shape[0] != len(prompts) or shape[0] * shape[1] != drawn:
        raise ValueError(f"{shape} for {len(prompts)} prompts and {drawn} pictures")
    for name, tensor in tensors.items():
        lengths = tensor.double().norm(dim=-1)
        if not bool(((lengths - 1).abs() < 1e-3).all()):
            raise ValueError(f"{name} is not of length 1")
    return scores_of(embeddings, prompts).to_dict()


def _embeddings(store: Store, evaluation: Manifest) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(store.file(evaluation, EMBEDDINGS)))


def _differing(document: Mapping[str, Any], derived: Mapping[str, Any]) -> Iterator[str]:
    for name, score in derived.items():
        if not isinstance(score, Mapping):
            continue
        said, room = document.get(name), _SHARE if name == "retrieval" else _ROUNDING
        if said is None:
            continue  # an evaluation of before this score was taken
        if abs(said["mean"] - score["mean"]) > room:
            yield f"{name} {said['mean']:.3f} on record, {score['mean']:.3f} derived"
        elif name != "retrieval" and any(
            abs(one - other) > room
            for on_record, again in zip(document["prompts"], derived["prompts"], strict=True)
            for one, other in zip(on_record.get("pictures", {}).get(name, ()), again["pictures"][name], strict=False)
        ):
            yield f"{name} of single pictures"


def _loaded(settings: Settings, kind: str, evaluation: Manifest) -> Any:
    """The very model that measured, from the project or the hub's cache. InputError where it is not to be had."""
    from model.scores.evaluator import Evaluator
    from model.scores.identity_model import IdentityModel
    from tasks.files.hashing import DigestMemory
    from tasks.jobs.models import identify_model

    facts: Mapping[str, Any] = evaluation.models[kind]
    memory = DigestMemory(settings.home / "digests.json")
    identity = identify_model(settings, memory, facts["reference"], facts["revision"], kind.replace("_", " "))
    if identity.digest != facts["digest"]:
        raise InputError(f"{kind} {facts['reference']} is another one by now")
    loader: Any = Evaluator if kind == "evaluator" else IdentityModel
    return loader.load(identity.location, identity.revision)


def _room(prompt: int) -> str:
    return f"{GENERATIONS}/{prompt:02}"

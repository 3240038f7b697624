"""What a comparison reads of each finished evaluation: the value of every picture, and its rank among look-alikes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.comparison.choice import ComparedTraining, sweep_of
from tasks.comparison.results import ComparisonResults
from tasks.comparison.table import TITLES, Cell, MethodTable
from tasks.jobs.jobs import Job
from tasks.project.prompt_sets import names_scene
from tasks.store.artefacts import EMBEDDINGS, WEIGHTS
from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor


def read_table(store: Store, work: ComparisonResults) -> MethodTable:
    """All trainings side by side, with a note for each concept that lacks look-alikes. Raises Damaged, StoreFailed."""
    cells, notes = [], []
    for name in work.names:
        job = work.jobs[work.first(name)]
        embedded = work.look_alikes[name]
        if embedded is None:
            notes.append(
                f"{name}: no identity rank, for want of look-alikes: name a folder with --look-alikes, or add other "
                f"concepts of the category '{job.concept.super_category}'"
            )
        cells += [
            read_cell(store, own, training, work.found[training]["evaluate"], embedded, work.base[name])
            for training, own in work.jobs.items()
            if training.concept == name
        ]
    recipe = next(iter(work.jobs.values())).recipe
    bases = [
        read_base(store, work.jobs[work.first(name)], work.found[work.first(name)]["evaluate"], work.base[name])
        for name in work.names
    ]
    return MethodTable(
        concepts=work.names,
        methods=work.methods,
        seeds=work.seeds,
        prompts=tuple(recipe.prompts),
        tags=recipe.tags,
        sweep=sweep_of(work.methods),
        cells=tuple(cells),
        base={score: sum(base[score] for base in bases) / len(bases) for score in bases[0]},
        notes=tuple(notes),
    )


def read_cell(
    store: Store,
    job: Job,
    training: ComparedTraining,
    evaluation: Manifest,
    look_alikes: "Tensor | None",
    base: "Mapping[str, Tensor]",
) -> Cell:
    """The values of one training; `look_alikes` and `base` are the embeddings of `ComparisonResults`.

    Raises:
        Damaged, StoreFailed: scores or embeddings in the store are not as they were.
    """
    document = load_scores(store, evaluation)
    by_prompt = [scored["pictures"] for scored in document["prompts"]]
    values = {name: [pictures[name] for pictures in by_prompt] for name in TITLES if name in by_prompt[0]}
    from safetensors.torch import load_file

    from model.scores.image_scores import identity_rank

    tensors = load_file(store.file(evaluation, EMBEDDINGS))
    by = "identity" if job.recipe.identity_model else "clip"
    if look_alikes is not None:
        ranks = identity_rank(tensors[f"{by}_generated"], tensors[f"{by}_instance"], look_alikes)
        values["identity_rank"] = ranks.double().tolist()
    leaks = _leakage(tensors["clip_generated"], tensors["clip_instance"], base, job)
    values |= {"leakage": leaks.tolist()} if leaks is not None else {}
    values |= rescaled_scores({**tensors, **base}, by, leaks)
    last = job.trainings[-1]
    weights = store.get(last.stage, last.key).files[WEIGHTS].sha256
    return Cell(**training._asdict(), evaluation=evaluation.key, weights=weights, values=values)


def read_base(store: Store, job: Job, evaluation: Manifest, base: "Mapping[str, Tensor]") -> dict[str, float]:
    """Means of what the untrained base drew for the plain category, by score. Raises Damaged, StoreFailed."""
    from safetensors.torch import load_file

    document = load_scores(store, evaluation)
    means = {name: document[f"base_{name}"]["mean"] for name in TITLES if f"base_{name}" in document}
    instance = load_file(store.file(evaluation, EMBEDDINGS))["clip_instance"]
    leaks = _leakage(base["clip_base"], instance, base, job)
    return means if leaks is None else means | {"leakage": float(leaks.mean())}


def _leakage(generated: "Tensor", instance: "Tensor", base: "Mapping[str, Tensor]", job: Job) -> "Tensor | None":
    """Of each picture (prompts, pictures); None where the prompt set lists no scenes."""
    from model.scores.leakage import scene_leakage

    if "clip_scenes" not in base:
        return None
    recipe = job.recipe
    asked = [
        [number for number, scene in enumerate(recipe.scenes) if names_scene(prompt, scene)]
        for prompt in recipe.prompts
    ]
    return scene_leakage(generated, instance, base["clip_scenes"], asked)


def rescaled_scores(
    tensors: "Mapping[str, Tensor]", by: str, leaks: "Tensor | None" = None
) -> dict[str, list[list[float]]]:
    """Identity and text of each picture (prompts, pictures) between their measured ends, and the product of both.

    `tensors` are embeddings of an evaluation and of what its base drew, `by` the model that tells identity: "identity"
    or "clip". In the product what is beyond an end counts as that end: a picture must be the concept and follow its
    prompt, and neither can make up for the other. A picture that leaks (1 in `leaks`) is 0 in it.
    """
    from model.scores.image_scores import likeness_beyond_nearest, prompt_likeness
    from model.scores.rescaled import identity_ends, text_ends

    generated, instance, base = (tensors[f"{by}_{name}"] for name in ("generated", "instance", "base"))
    identity = identity_ends(base, instance).rescaled(likeness_beyond_nearest(generated, instance))
    text = tensors["clip_text"]
    followed = text_ends(tensors["clip_base"], text).rescaled(prompt_likeness(tensors["clip_generated"], text))
    both = identity.clamp(0, 1) * followed.clamp(0, 1) * (1 if leaks is None else 1 - leaks)
    named = {"identity": identity, "text": followed, "identity_x_text": both}
    return {name: values.double().tolist() for name, values in named.items()}

"""What a comparison reads of each finished evaluation: the value of every picture, and its rank among look-alikes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from tasks.comparison.choice import Place
from tasks.comparison.table import TITLES, Cell
from tasks.jobs.jobs import Job
from tasks.store.artefacts import EMBEDDINGS, SCORES, WEIGHTS
from tasks.store.manifest import Manifest
from tasks.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor


def read_cell(store: Store, job: Job, place: Place, evaluation: Manifest, look_alikes: "Tensor | None") -> Cell:
    """The values of one training; `look_alikes` are embeddings (pictures, width) of `embed_look_alikes`.

    Raises:
        Damaged, StoreFailed: scores or embeddings in the store are not as they were.
    """
    document: dict[str, Any] = json.loads(store.file(evaluation, SCORES).read_text(encoding="utf-8"))
    by_prompt = [scored["pictures"] for scored in document["prompts"]]
    values = {name: [pictures[name] for pictures in by_prompt] for name in TITLES if name in by_prompt[0]}
    if look_alikes is not None:
        from safetensors.torch import load_file

        from model.scores.image_scores import identity_rank

        tensors = load_file(store.file(evaluation, EMBEDDINGS))
        by = "identity" if job.recipe.identity_model else "clip"
        ranks = identity_rank(tensors[f"{by}_generated"], tensors[f"{by}_instance"], look_alikes)
        values["identity_rank"] = ranks.double().tolist()
    values["identity_x_text"] = identity_x_text(values["dino" if "dino" in values else "clip_i"], values["clip_t"])
    last = job.trainings[-1]
    weights = store.get(last.stage, last.key).files[WEIGHTS].sha256
    return Cell(**place._asdict(), evaluation=evaluation.key, weights=weights, values=values)


def read_base(store: Store, evaluation: Manifest) -> dict[str, float]:
    """Means of what the untrained base drew for the plain category, by score. Raises Damaged, StoreFailed."""
    document: dict[str, Any] = json.loads(store.file(evaluation, SCORES).read_text(encoding="utf-8"))
    return {name: document[f"base_{name}"]["mean"] for name in TITLES if f"base_{name}" in document}


def identity_x_text(identity: Sequence[Sequence[float]], text: Sequence[Sequence[float]]) -> list[list[float]]:
    """The product of both cosines of each picture (prompts, pictures), what is below 0 taken for 0.

    A picture must be the concept and follow its prompt; that some are the one and some the other raises no mean.
    """
    return [
        [max(0.0, one) * max(0.0, other) for one, other in zip(*pair, strict=True)]
        for pair in zip(identity, text, strict=True)
    ]


def embed_look_alikes(job: Job, pictures: Sequence[Image.Image]) -> "Tensor | None":
    """Their embeddings by the identity model, or by the evaluator where there is none; None without pictures."""
    from tasks.execution.loaded_evaluator import open_evaluator, open_identity_model

    if not pictures:
        return None
    return (open_identity_model(job) or open_evaluator(job)).embed_images(pictures).cpu()

"""What a comparison reads of each finished evaluation: the value of every picture, and its rank among look-alikes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from tasks.artefacts import EMBEDDINGS, SCORES, WEIGHTS
from tasks.jobs import Job
from tasks.manifest import Manifest
from tasks.method_table import TITLES, Cell
from tasks.store import Store

if TYPE_CHECKING:
    from torch import Tensor


def read_cell(store: Store, job: Job, label: str, evaluation: Manifest, look_alikes: "Tensor | None") -> Cell:
    """The values of one concept by one method; `look_alikes` are embeddings (pictures, width) of `embed_look_alikes`.

    Raises:
        Damaged, StoreFailed: scores or embeddings in the store are not as they were.
    """
    document: dict[str, Any] = json.loads(store.file(evaluation, SCORES).read_text(encoding="utf-8"))
    by_prompt = [scored["pictures"] for scored in document["prompts"]]
    values = {name: [pictures[name] for pictures in by_prompt] for name in TITLES if name in by_prompt[0]}
    if look_alikes is not None:
        from safetensors.torch import load_file

        from model.image_scores import identity_rank

        tensors = load_file(store.file(evaluation, EMBEDDINGS))
        by = "identity" if job.recipe.identity_model else "clip"
        ranks = identity_rank(tensors[f"{by}_generated"], tensors[f"{by}_instance"], look_alikes)
        values["identity_rank"] = ranks.double().tolist()
    last = job.trainings[-1]
    weights = store.get(last.stage, last.key).files[WEIGHTS].sha256
    return Cell(concept=job.concept.name, method=label, evaluation=evaluation.key, weights=weights, values=values)


def embed_look_alikes(job: Job, pictures: Sequence[Image.Image]) -> "Tensor | None":
    """Their embeddings by the identity model, or by the evaluator where there is none; None without pictures."""
    from tasks.loaded_evaluator import open_evaluator, open_identity_model

    if not pictures:
        return None
    return (open_identity_model(job) or open_evaluator(job)).embed_images(pictures).cpu()

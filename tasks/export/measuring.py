"""What a version's weights score once they have been cut, by the prompts, seeds and images of its evaluation."""

import itertools
from typing import TYPE_CHECKING

from model.drawing.sampling_options import Sampling
from model.errors import InputError
from tasks.execution.reporting import Reporter
from tasks.files.hashing import file_digest
from tasks.project.settings import Settings
from tasks.registry.training_facts import TrainingFacts
from tasks.store.artefacts import IMAGES
from tasks.store.models import kept_model, model_folder
from tasks.store.pictures import pictures
from tasks.store.store import Store, open_store

if TYPE_CHECKING:
    from model.bases.base import Base
    from model.scores.evaluator import Evaluator
    from model.weights.concept import ConceptWeights


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
    device = open_device(settings.device)
    if revision:
        return Evaluator.load(reference, revision, device=device)
    location, files = settings.root / reference, recorded["files"]
    if all((location / name).is_file() and file_digest(location / name) == sha256 for name, sha256 in files.items()):
        return Evaluator.load(str(location), None, device=device)
    store = open_store(settings)
    if files and (manifest := kept_model(store, "evaluator", recorded["digest"])):
        with model_folder(store, manifest) as folder:
            return Evaluator.load(str(folder), None, device=device)
    raise InputError(
        f"evaluator {location}: not the one that scored this version, so no loss can be told by it; put it back, or "
        "leave --measure out"
    )


def score_again(
    store: Store,
    evaluator: "Evaluator",
    base: "Base",
    record: TrainingFacts,
    weights: "ConceptWeights",
    reporter: Reporter,
    most_at_once: int,
) -> dict[str, float]:
    """Means of the scores of other weights, by the prompts, seeds and images by which the version was scored.

    As many pictures are drawn side by side as then, but no more than `most_at_once`, the project's sampling.batch_size:
    who has less memory by now can set that.
    """
    from model.drawing.sample import generate
    from model.scores.metrics import embed, scores_of

    drawn = record.evaluation.parameters
    assert record.evaluation.seed is not None  # what draws has one
    options = {name: drawn[name] for name in ("guidance_scale", "num_inference_steps")}
    batch_size = min(drawn["batch_size"], most_at_once)
    sampling = Sampling(seed=record.evaluation.seed, batch_size=batch_size, **options)
    autocast = record.evaluation.numeric_policy["autocast"]
    filled = [weights.prompt.fill(prompt) for prompt in drawn["prompts"]]
    plain = [weights.prompt.without_placeholder(prompt) for prompt in drawn["prompts"]]
    finished = itertools.count(1)
    reporter.begin("measuring", len(filled) * drawn["images_per_prompt"], "pictures")
    try:
        generated = generate(
            base,
            weights,
            filled,
            drawn["images_per_prompt"],
            sampling,
            autocast=autocast,
            on_image=lambda *_: reporter.advance(next(finished)),
        )
    finally:
        reporter.end()
    images = pictures(store, record.prepare, IMAGES)
    scores = scores_of(embed(generated, images, plain, evaluator=evaluator), plain)
    return {name: interval.mean for name, interval in scores.intervals.items()}

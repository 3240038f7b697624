"""The version that is to be promoted: found in the development registry, with its chain and its scores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.errors import InputError
from tasks.concepts.takedown_memory import current_takedowns
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.check_results import CheckResult
from tasks.lineage.evaluations import Evaluation
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import Ledger
from tasks.production.release import LINEAGE, read_file, read_release
from tasks.project.settings import Settings
from tasks.registry.cleared_tags import mend_cleared_tags
from tasks.registry.reference import VersionReference
from tasks.registry.versions import resolve
from tasks.store.blobs import Blobs
from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store
from tasks.tracking.client import connect, sorted_failures
from tasks.verification.scores import measured_evaluation

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Source:
    """A registered version with everything that is known about it."""

    concept: str
    version: "ModelVersion"
    content: str
    """Key of the training's content."""
    chain: Chain
    evaluation: Evaluation
    """As its embeddings give it."""
    measured: tuple[CheckResult, ...] = ()
    """Whether the scores on record are those."""


def find_source(settings: Settings, store: Store, reference: VersionReference) -> Source:
    """The version that is meant, its weights seen to be what they were.

    Raises:
        InputError: there is none, or it was never evaluated.
        WorkFailed: registry or store do not answer, or the evaluation is damaged.
    """
    mend_cleared_tags(settings, reference.concept)
    resolved = resolve(settings, reference)
    called = f"concept '{resolved.concept}' version {resolved.version}"
    with open_index(settings, store) as index:
        head = find_head(settings, store, index, VersionReference(concept=resolved.concept, version=resolved.version))
        chain = read_chain(store, index, head)
    said, again = "; ".join(chain.problems), f"`conceptbooth train {resolved.concept}` makes it again"
    if head.content is None or "evaluate" not in chain.manifests:
        raise InputError(
            f"{called} has no evaluation in the store{f': {said}' if said else ''}; nothing is promoted unseen: {again}"
        )
    if "prepare" not in chain.manifests:  # no override helps: a release says which images it was made from
        raise InputError(f"{called}: which images it was made from is not known: {said}; {again}")
    measured = measured_evaluation(store, chain.manifests["evaluate"])
    client = connect(settings)
    with sorted_failures(settings):
        version = client.get_model_version(resolved.name, str(resolved.version))
    return Source(
        concept=resolved.concept,
        version=version,
        content=head.content,
        chain=chain,
        evaluation=measured.evaluation,
        measured=measured.checks,
    )


def refuse_for_good(settings: Settings, store: Store, ledger: Ledger, source: Source) -> None:
    """InputError for a version that was revoked, or saw an image that was taken down: no override brings it back."""
    called = f"concept '{source.concept}' version {source.version.version}"
    if revoked := ledger.revoked.get(source.content):
        raise InputError(f"{called} was revoked on {revoked.words}; no override brings it back")
    taken = current_takedowns(settings, store)
    if taken.takedowns and not source.chain.images:
        said = "; ".join(source.chain.problems) or "its manifest of prepare is not there"
        raise InputError(f"{called}: images were taken down, and whether it saw one cannot be told: {said}")
    if takedown := taken.among(source.chain.images):
        raise InputError(
            f"{called} saw an image that {takedown.words}; no override brings it back. `conceptbooth takedown "
            f"{takedown.sha256} --reason TEXT` revokes what was trained on it since"
        )


def serving_evaluation(store: Store, place: Blobs, ledger: Ledger) -> Evaluation | Damaged | None:
    """The evaluation of what serves; None where nothing does, Damaged where it cannot be read. Raises StoreFailed.

    By the manifest that was released with it: whoever can write to the store could make the champion a worse one there.
    """
    serving = ledger.serving
    if serving is None:
        return None
    key = serving.stages.get("evaluate", "")
    try:
        release = read_release(place, ledger.concept, str(serving.release))
        manifest = Manifest.from_json(read_file(place, release, f"{LINEAGE}/evaluate.json").decode())
        measured = measured_evaluation(store, manifest)
    except Damaged as damage:
        return damage
    except (InputError, ValueError) as error:
        return Damaged("evaluate", key, [f"of the release: {error}"])
    faults = [check.said for check in measured.checks if check.state == "fault"]
    return Damaged("evaluate", key, [f"its scores {said}" for said in faults]) if faults else measured.evaluation

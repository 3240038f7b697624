"""How a concept's model came to be: the chain of artefacts from its evaluation back to the images.

The chain is walked from manifest to manifest. Registry and records only say where it begins, and the store alone is
enough: a manifest names its concept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.jobs.kinds import chain_order, in_lineage
from tasks.lineage.head import Head, picked, registered_head
from tasks.lineage.index import LineageIndex
from tasks.lineage.prepared_images import prepared_images
from tasks.project.settings import Settings
from tasks.registry.all_versions import registered_versions
from tasks.registry.reference import VersionReference
from tasks.store.blobs import StoreFailed
from tasks.store.manifest import Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, Store


@dataclass(frozen=True, kw_only=True)
class Link:
    """One artefact of a chain."""

    stage: str
    key: str
    manifest: Manifest | None
    problem: str | None = None
    """Why there is no manifest."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Everything that a concept's model was made from and by."""

    head: Head
    links: tuple[Link, ...]
    """In the order in which they were made: prepare, class images, the training stages, evaluate, gallery."""
    images: tuple[Mapping[str, Any], ...]
    """Each image: what was prepared from it, and the file that was brought (`original`), where that is known."""
    scores: Mapping[str, Any] | None
    """The evaluation's scores.json; None where there is no evaluation, or it cannot be read."""
    problems: tuple[str, ...] = field(default=())
    """What could not be read."""
    unread: str | None = None
    """Why nothing of it could be read; then its links are those that the registry names."""

    @property
    def manifests(self) -> dict[str, Manifest]:
        """The manifests that are there, by stage."""
        return {link.stage: link.manifest for link in self.links if link.manifest}

    @property
    def trainings(self) -> tuple[Manifest, ...]:
        """Of the training stages, in the order in which they ran."""
        return tuple(manifest for stage, manifest in self.manifests.items() if stage.startswith("train-"))

    @property
    def stated(self) -> Mapping[str, Any]:
        """What the concept's owner stated at last: licence, source, consent, originals of the images."""
        stated: dict[str, Any] = {}
        for manifest in self.manifests.values():
            # prepared and class images may be shared: what is stated is then of the concept that they were made for
            if manifest.stage not in ("prepare", "class_images") or manifest.labels.get("concept") == self.head.concept:
                stated |= manifest.stated
        gallery = self.manifests.get("gallery")
        if gallery:  # a changed licence text draws the gallery anew and nothing else
            said = ("licence", "source", "consent")
            stated |= {name: str(gallery.parameters[name]) for name in said if name in gallery.parameters}
        return stated

    @property
    def base(self) -> Mapping[str, Any] | None:
        """Reference, revision, digest, digests of the files and licence of the base model."""
        return next((manifest.base for manifest in self.manifests.values() if manifest.base), None)

    @property
    def image_set(self) -> str | None:
        """DVC's hash of the image set."""
        prepare = self.manifests.get("prepare")
        return next(entry.digest for entry in prepare.inputs if entry.kind == "image_set") if prepare else None


def read_chain(store: Store, index: LineageIndex, head: Head) -> Chain:
    """Walk the chain that begins at `head`.

    What is damaged or missing on the way becomes a link with its problem; what it read is then taken from the index.

    Raises:
        StoreFailed: it cannot be told what is there.
    """
    links: dict[str, Link] = {}
    waiting = [(head.stage, head.key)]
    if head.stage == "evaluate" and (gallery := head.gallery or index.gallery(head.key)):
        waiting.append(("gallery", gallery))
    while waiting:
        stage, key = waiting.pop()
        if stage in links:
            continue
        links[stage] = link = _link(store, stage, key)
        waiting += _reads(link, index).items()
    ordered = tuple(sorted(links.values(), key=lambda link: chain_order(link.stage)))
    problems = [link.problem for link in ordered if link.problem]
    chain = Chain(head=head, links=ordered, images=(), scores=None)
    manifests = chain.manifests
    images: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, Any] | None = None
    try:
        images = _images(store, manifests["prepare"], chain.stated) if "prepare" in manifests else ()
        scores = load_scores(store, manifests["evaluate"]) if "evaluate" in manifests else None
    except Damaged as damage:
        problems.append(str(damage))
    return Chain(head=head, links=ordered, images=images, scores=scores, problems=tuple(problems))


def unread_chain(settings: Settings, reference: VersionReference, failure: StoreFailed) -> Chain:
    """What the registry knows of the chain that `reference` begins, where the store does not answer.

    Raises:
        InputError: no such version or alias.
        StoreFailed: the registry knows nothing of the concept: `failure`.
        RegistryUnknown: it does not answer either.
    """
    versions = registered_versions(settings).get(reference.concept, ())
    if not versions:
        raise failure
    version = picked(reference, versions)
    named = sorted(version.stages.items(), key=lambda entry: chain_order(entry[0]))
    said = str(failure)
    links = tuple(Link(stage=stage, key=key, manifest=None, problem=said) for stage, key in named)
    head = registered_head(reference.concept, version, ())
    return Chain(head=head, links=links, images=(), scores=None, problems=(said,), unread=said)


def _link(store: Store, stage: str, key: str) -> Link:
    try:
        manifest = store.read(stage, key)
    except Damaged as damage:
        return Link(stage=stage, key=key, manifest=None, problem=str(damage))
    if manifest is None:
        missing = f"{stage} {key[:12]}: manifest.json: missing ({store.manifest_address(stage, key)})"
        return Link(stage=stage, key=key, manifest=None, problem=missing)
    return Link(stage=stage, key=key, manifest=manifest)


def _reads(link: Link, index: LineageIndex) -> dict[str, str]:
    if link.manifest is None:
        return index.reads(link.stage, link.key)
    return {entry.kind: entry.key for entry in link.manifest.inputs if in_lineage(entry.kind)}


def _images(store: Store, prepare: Manifest, stated: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Images with the files that people brought: those belong to a stored image by its hash."""
    brought = {origin["sha256"]: origin for origin in stated.get("images", ())}
    images = []
    for image in prepared_images(store, prepare):
        origin = brought.get(image["sha256"], {})
        original = {"original": origin.get("original"), "original_sha256": origin.get("original_sha256")}
        images.append(dict(image) | original)
    return tuple(images)

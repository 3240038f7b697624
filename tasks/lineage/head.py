"""Where a chain begins: the training that a reference means.

The registry is asked first. Without it the store's own records answer, and without those the labels in its manifests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model.errors import InputError
from tasks.concepts.concepts import no_such_concept
from tasks.lineage.index import LineageIndex
from tasks.plan.last_training import read_last_training
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, RegistryUnknown, registered_versions
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.registry.versions import EVALUATION_TAG, GALLERY_TAG, KEY_TAG
from tasks.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Head:
    """The end of a training, from where its chain is walked back."""

    concept: str
    stage: str
    """"evaluate", or the last training stage where nothing was evaluated."""
    key: str
    content: str | None
    """Key of its content, by which it is registered."""
    gallery: str | None = None
    """Key of the gallery that the registry shows; None: the newest there is."""
    version: int | None = None
    """Of the registered model, where it is known."""
    aliases: tuple[str, ...] = ()
    found_by: str
    """"registry", "record" or "manifests"."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it was found."""
    doubts: tuple[str, ...] = ()
    """Manifests that could not be read and may have been meant."""


def find_head(settings: Settings, store: Store, index: LineageIndex, reference: VersionReference) -> Head:
    """The training that is meant.

    Raises:
        InputError: no such concept, version or alias; it says which there are.
        StoreFailed: the store cannot be read.
    """
    concept, number = reference.concept, reference.version
    notes: list[str] = []
    versions: Sequence[KnownVersion] = ()
    try:
        versions = registered_versions(settings).get(concept, ())
    except RegistryUnknown as unknown:
        notes.append(f"{unknown}: versions and aliases are not known")
    if versions:
        return registered_head(concept, picked(reference, versions), notes)
    if not notes:
        notes.append(f"the registry knows no version of '{concept}': found in the store alone")
    if reference.alias is not None:
        raise InputError(f"{reference}: only the registry knows aliases; {notes[0]}")
    recorded = read_last_training(store, settings, concept)
    evaluation = recorded.stage("evaluate") if recorded else None
    if recorded and evaluation and number in (None, recorded.version):
        gallery = recorded.stage("gallery")
        return Head(
            concept=concept,
            stage="evaluate",
            key=evaluation.key,
            content=recorded.content,
            gallery=gallery.key if gallery else None,
            version=recorded.version,
            found_by="record",
            notes=tuple(notes),
        )
    trainings = index.trainings_of(concept)
    if number is not None:
        raise InputError(
            f"{reference}: only the registry knows versions; {notes[0]}"
            + (
                f". `conceptbooth lineage {concept}` shows the newest of {len(trainings)} trainings"
                if trainings
                else ""
            )
        )
    if not trainings:
        raise InputError(f"{no_such_concept(settings, concept)}; nor does the store hold a training of that name")
    newest = trainings[0]
    if len(trainings) > 1:
        notes.append(f"the newest of {len(trainings)} trainings in the store")
    return Head(
        concept=concept,
        stage=newest.stage,
        key=newest.key,
        content=newest.content,
        found_by="manifests",
        notes=tuple(notes),
        doubts=index.unreadable,
    )


def find_head_of(settings: Settings, store: Store, index: LineageIndex, concept: str, content: str) -> Head | None:
    """The training of that content; None where neither registry nor store knows it. Raises StoreFailed."""
    note = f"the registry knows no version of '{concept}' with this content: found in the store alone"
    try:
        for version in reversed(registered_versions(settings).get(concept, ())):
            if version.tags.get(KEY_TAG) == content:
                return registered_head(concept, version, ())
    except RegistryUnknown as unknown:
        note = f"{unknown}: versions and aliases are not known"
    for training in index.trainings_of(concept):
        if training.content == content:
            return Head(
                concept=concept,
                stage=training.stage,
                key=training.key,
                content=content,
                found_by="manifests",
                notes=(note,),
                doubts=index.unreadable,
            )
    return None


def picked(reference: VersionReference, versions: Sequence[KnownVersion]) -> KnownVersion:
    """The version that is meant. Raises InputError, with what there is."""
    alias, number = reference.alias, reference.version
    wanted = alias or CANDIDATE
    for version in versions:
        if version.version == number if number is not None else wanted in version.aliases:
            return version
    if number is None and alias is None:
        return versions[-1]  # somebody removed the alias: the newest is what it stood for
    asked = f"version {number}" if number is not None else f"alias '{alias}'"
    numbers = [str(version.version) for version in versions]
    shown = ", ".join(numbers) if len(numbers) <= 8 else f"{numbers[0]} to {numbers[-1]}"
    aliases = {alias: version.version for version in versions for alias in version.aliases}
    named = ", ".join(f"@{alias} (version {aliases[alias]})" for alias in sorted(aliases)) or "none"
    raise InputError(f"concept '{reference.concept}' has no {asked}; versions: {shown}; aliases: {named}")


def registered_head(concept: str, version: KnownVersion, notes: Sequence[str]) -> Head:
    """Where the chain of a registered version begins. Raises InputError for one that conceptbooth did not register."""
    evaluation = version.tags.get(EVALUATION_TAG)
    if evaluation is None:
        raise InputError(
            f"concept '{concept}' version {version.version}: it has no tag {EVALUATION_TAG}, so conceptbooth did not "
            "register it, or somebody removed the tag: nothing is known about where it comes from"
        )
    return Head(
        concept=concept,
        stage="evaluate",
        key=evaluation,
        content=version.tags.get(KEY_TAG),
        gallery=version.tags.get(GALLERY_TAG),
        version=version.version,
        aliases=tuple(sorted(version.aliases)),
        found_by="registry",
        notes=tuple(notes),
    )

"""The registry told again what it was told before, after its database was lost: from records and ledgers of the stores.

Versions get the numbers that they had. MLflow counts up and never gives a number twice, so each version is made as a
placeholder first: whoever is killed leaves placeholders, which the next call finishes or removes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from model.errors import InputError, WorkFailed
from tasks.concepts.concepts import NOT_STATED, Concept
from tasks.plan.last_training import read_last_training
from tasks.production.ledger import Ledger, concepts_in
from tasks.production.registry import RELEASE_TAG, make_production_model, production_model, production_registry
from tasks.production.release import read_release
from tasks.production.whole_ledger import read_whole_ledger
from tasks.project.settings import Settings
from tasks.promotion.promotion import release_source, settle
from tasks.promotion.revocation import mark_versions
from tasks.registry.package import mend_package
from tasks.registry.reference import CANDIDATE
from tasks.registry.registration import MODEL_ID_TAG, make_model
from tasks.registry.store_records import version_record_path
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.version_records import VersionRecord, remember_version, version_records
from tasks.registry.versions import (
    KEY_TAG,
    PACKAGE_TAG,
    REVOKED_TAG,
    TAGS,
    WEIGHTS_SHA256_TAG,
    model_name,
    version_damage,
    versions,
)
from tasks.signing.trusted_keys import load_trusted_keys
from tasks.store.blobs import Blobs, StoreFailed
from tasks.store.manifest import Manifest
from tasks.store.store import Store
from tasks.tracking.address import is_unused
from tasks.tracking.client import connect, sorted_failures
from tasks.verification.upgrade_records import Vouched, read_vouched

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

PLACEHOLDER_TAG = f"{TAGS}placeholder"
State = Literal["there", "restored", "mended", "lost"]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of one version, or would."""

    model: str
    version: int
    state: State
    """`mended`: its package was damaged or gone, and was put back; `lost`: it cannot be put back."""
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A version as it has to be."""

    source: str
    run_id: str | None
    tags: Mapping[str, str]
    description: str
    identity: str
    """The tag by which it is known to be this one."""


def rebuild(settings: Settings, store: Store, place: Blobs, *, dry_run: bool = False) -> list[Restored]:
    """Put back every registered model, version, tag, alias and package that the stores know and the registry lacks.

    A second call changes nothing. Runs with their curves are not put back, nor aliases other than ours.

    Raises:
        InputError: records or a ledger that cannot be read, all together; an address that cannot be used.
        TrackingUnreachable, StoreFailed: registry or stores do not answer; the same call carries on.
    """
    records = _believed(store, settings)
    ledgers = {concept: read_whole_ledger(settings, place, concept) for concept in concepts_in(place)}
    found: list[Restored] = []
    for concept, numbered in sorted(records.items()):
        found += _development(settings, store, concept, numbered, ledgers.get(concept), dry_run)
    for concept, ledger in sorted(ledgers.items()):
        found += _production(settings, place, ledger, records.get(concept, {}), dry_run)
    return found


def _believed(store: Store, settings: Settings) -> dict[str, dict[int, VersionRecord]]:
    """`version_records`, each signed, or vouched for as it is, where keys are trusted. InputError names the others."""
    records, keys = version_records(store, settings), load_trusted_keys(settings)
    path = partial(version_record_path, settings)
    told = [each for numbered in records.values() for each in numbered.values() if each.unsigned(keys)]
    vouched = read_vouched(store, keys) if told else Vouched()
    told = [r for r in told if not (r.seal and vouched.record_words(path(r.concept, r.version), r.seal))]
    if told:
        hint = "whoever can write to the store can have made it; `conceptbooth upgrade` vouches for what is of before"
        raise InputError(*(f"record {path(r.concept, r.version)}: {r.unsigned(keys)}: {hint}" for r in told))
    return records


def _development(
    settings: Settings,
    store: Store,
    concept: str,
    records: Mapping[int, VersionRecord],
    ledger: Ledger | None,
    dry_run: bool,
) -> list[Restored]:
    name = model_name(concept)
    if dry_run and is_unused(settings):
        return [Restored(model=name, version=number, state="restored") for number in sorted(records)]
    client = connect(settings)
    with sorted_failures(settings):
        if not dry_run:
            super_category = next(iter(records.values())).tags.get(f"{TAGS}super_category", NOT_STATED)
            make_model(client, concept, super_category)
        wanted = {
            number: _Wanted(
                source=record.source,
                run_id=record.run_id,
                tags=record.own_tags,
                description=record.description,
                identity=KEY_TAG,
            )
            for number, record in sorted(records.items())
        }
        found = list(_restore(client, name, wanted, dry_run))
        if dry_run:
            return found
        there = {int(version.version): version for version in versions(client, concept)}
        found = [_mended(client, settings, store, each, there, records) for each in found]
    if ledger:
        mark_versions(settings, ledger)
    with sorted_failures(settings):
        _name_candidate(client, settings, store, concept)
    return found


def _production(
    settings: Settings, place: Blobs, ledger: Ledger, records: Mapping[int, VersionRecord], dry_run: bool
) -> list[Restored]:
    if not ledger.ever_served:
        return []
    name = production_model(settings, ledger.concept)
    wanted: dict[int, _Wanted] = {}
    lost: list[Restored] = []
    for record in ledger.records:
        number = record.production_version
        if record.release is None or number is None or number in wanted:
            continue
        try:
            source = release_source(place, read_release(place, ledger.concept, record.release))
        except InputError as error:
            lost.append(Restored(model=name, version=number, state="lost", said=str(error)))
            continue
        made_from = records.get(record.version or 0)
        known = made_from if made_from and made_from.content == record.content else None
        wanted[number] = _Wanted(
            source=source,
            run_id=None,
            tags={**(known.tags if known else {}), RELEASE_TAG: record.release},
            description=known.description if known else "",
            identity=RELEASE_TAG,
        )
    there = settings.model_copy(update={"mlflow_tracking_uri": settings.production_tracking_uri})
    if dry_run and is_unused(there):
        return [*lost, *(Restored(model=name, version=number, state="restored") for number in sorted(wanted))]
    with production_registry(settings) as client:
        if not dry_run:
            make_production_model(client, name)
        found = list(_restore(client, name, dict(sorted(wanted.items())), dry_run))
    if not dry_run:
        settle(settings, place, ledger.concept)
    return [*lost, *found]


def _restore(client: "MlflowClient", name: str, wanted: Mapping[int, _Wanted], dry_run: bool) -> Iterator[Restored]:
    """Have these versions, in the order of their numbers."""
    listed = client.search_model_versions(f"name = '{name}'", max_results=10_000)
    there = {int(version.version): version for version in listed}
    for number, version in list(there.items()):
        if PLACEHOLDER_TAG in version.tags and not dry_run and not _fits(version, wanted.get(number)):
            client.delete_model_version(name, str(number))
            del there[number]
    for number, each in wanted.items():
        version = there.get(number)
        if version is not None and PLACEHOLDER_TAG not in version.tags:
            same = version.tags.get(each.identity) == each.tags.get(each.identity)
            if same and not dry_run:
                _fill(client, name, version, each)
            said = "" if same else "another version has its number by now"
            yield Restored(model=name, version=number, state="there" if same else "lost", said=said)
            continue
        if dry_run:
            yield Restored(model=name, version=number, state="restored")
            continue
        version = version or _made(client, name, number, each)
        if version is None:
            said = "it was deleted in the registry, which gives no number twice"
            yield Restored(model=name, version=number, state="lost", said=said)
            continue
        _fill(client, name, version, each)
        client.delete_model_version_tag(name, str(number), PLACEHOLDER_TAG)
        yield Restored(model=name, version=number, state="restored")


def _fits(version: "ModelVersion", wanted: _Wanted | None) -> bool:
    return wanted is not None and version.source == wanted.source


def _made(client: "MlflowClient", name: str, number: int, wanted: _Wanted) -> "ModelVersion | None":
    """A placeholder with this number; None where the registry is beyond it. Others on the way are removed."""
    while True:
        made = client.create_model_version(
            name, wanted.source, run_id=wanted.run_id, tags={PLACEHOLDER_TAG: "1"}, description=wanted.description
        )
        if int(made.version) == number:
            return made
        client.delete_model_version(name, str(made.version))
        if int(made.version) > number:
            return None


def _fill(client: "MlflowClient", name: str, version: "ModelVersion", wanted: _Wanted) -> None:
    for tag, value in wanted.tags.items():
        if version.tags.get(tag) != value:
            client.set_model_version_tag(name, str(version.version), tag, value)


def _mended(
    client: "MlflowClient",
    settings: Settings,
    store: Store,
    found: Restored,
    there: Mapping[int, "ModelVersion"],
    records: Mapping[int, VersionRecord],
) -> Restored:
    """Put a version's package back where it was, if it is not whole there."""
    version = there.get(found.version)
    if version is None or found.state == "lost":
        return found
    problem = version_damage(client, settings, version)
    if problem is None:
        return found
    record = records[found.version]
    try:
        manifests = {stage: store.get(stage, key) for stage, key in record.stages.items()}
        training = TrainingFacts.read(store, _concept(settings, record, manifests["gallery"]), manifests)
    except StoreFailed:
        raise
    except WorkFailed as damaged:
        return _lost(found, f"{problem}; and the store cannot put it back: {damaged}")
    if training.weights.sha256 != version.tags.get(WEIGHTS_SHA256_TAG):
        return _lost(found, f"{problem}; the store holds weights that were trained again since")
    try:
        listed = mend_package(client, settings, store, training, version, record.tags[MODEL_ID_TAG])
    except WorkFailed as elsewhere:
        return _lost(found, f"{problem}; {elsewhere}")
    remember_version(store, settings, version, {**record.tags, PACKAGE_TAG: listed})
    return Restored(model=found.model, version=found.version, state="mended", said=problem)


def _lost(found: Restored, said: str) -> Restored:
    return Restored(model=found.model, version=found.version, state="lost", said=said)


def _concept(settings: Settings, record: VersionRecord, gallery: Manifest) -> Concept:
    """The concept as it was when it was drawn: its concept.yaml may say something else by now, or be gone."""
    facts = {field: gallery.parameters.get(field) or NOT_STATED for field in ("licence", "source", "consent")}
    return Concept(
        name=record.concept,
        folder=settings.concepts_dir / record.concept,
        super_category=record.tags[f"{TAGS}super_category"],
        **facts,
    )


def _name_candidate(client: "MlflowClient", settings: Settings, store: Store, concept: str) -> None:
    """Let `candidate`, where nothing has it, name what the last training registered, or else the newest version."""
    name = model_name(concept)
    if CANDIDATE in client.get_registered_model(name).aliases:
        return
    usable = [version for version in versions(client, concept) if REVOKED_TAG not in version.tags]
    last = read_last_training(store, settings, concept)
    named = [version for version in usable if last and version.tags.get(KEY_TAG) == last.content]
    if usable:
        client.set_registered_model_alias(name, CANDIDATE, str((named or usable)[-1].version))

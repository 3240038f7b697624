"""Who outside the store needs artefacts: the production ledger, the registry, today's plan, what others have on record.

Everybody is asked before anything is decided. Whoever cannot be asked, or whose answer is not understood, is an error:
"cannot tell" is never "not needed".
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from model.errors import InputError
from tasks.concepts.concepts import concept_names
from tasks.jobs.adoptions import examine_adoptions
from tasks.jobs.jobs import Job, survey, with_adoptions
from tasks.plan.last_training import CONCEPTS, last_training_path
from tasks.production.ledger import concepts_in, read_ledger
from tasks.project.settings import Settings
from tasks.registry.all_versions import KnownVersion, registered_versions
from tasks.registry.store_records import (
    OtherRegistry,
    address_of,
    other_registries,
    record_paths,
    registry_folder,
    registry_id,
    stale_paths,
)
from tasks.store.blobs import Record
from tasks.store.store import Store, open_blobs
from tasks.tracking.address import is_unused, shown
from tasks.upkeep.garbage import DAY, ArtefactKey, Needs
from tasks.verification.records import broken_seal

_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What a person says is needed no more, though it is on record."""

    concepts: Collection[str] = ()
    """Concepts that this project does not have."""
    registries: Collection[str] = ()
    """Registries that are not this project's, as the store calls them."""


@dataclass(frozen=True, kw_only=True)
class KnownNeeds:
    """Who was asked, and what of the records is out of date."""

    needs: Needs
    concepts: tuple[str, ...]
    """Those that this project does not have, and whose last training is kept."""
    registries: tuple[OtherRegistry, ...]
    """Those that cannot be asked, and whose versions are kept."""
    stale: tuple[str, ...]
    """Records of versions that this project's registry does not have any more."""


def find_needs(settings: Settings, store: Store, jobs: Collection[Job], forgotten: Forgotten) -> KnownNeeds:
    """What must stay; `jobs` are those of all concepts of the project.

    This project's registry is asked; of what others have registered the store has records, and what those name is
    needed. So is what its records of last trainings name, whoever wrote them: another checkout may have a concept of
    the same name.

    Raises:
        InputError: an answer that cannot be understood, a ledger that was changed; all problems together.
        StoreFailed, RegistryUnknown: somebody does not answer.
    """
    others, elsewhere = records_of_others(settings, store), other_registries(store, settings)
    unforgettable = [*_not_forgettable(settings, others, forgotten.concepts)]
    unforgettable += _not_forgettable_registries(settings, elsewhere, forgotten.registries)
    remembered = [records for name, records in others.items() if name not in forgotten.concepts]
    registries = tuple(registry for registry in elsewhere if registry.id not in forgotten.registries)
    on_record = record_paths(store, settings)  # before the registry is asked: what comes in meanwhile is not stale
    own = store.read_records(last_training_path(name) for name in concept_names(settings))
    recorded, wrong = _recorded(
        {path: record for records in (own, *remembered) for path, record in records.items()}, own
    )
    theirs, unread = _registered_elsewhere(registries)
    adoptions, unsound = examine_adoptions(store)  # what was compared is the proof, as long as it is relied on
    versions = registered_versions(settings)
    registered, silent = _registered(settings, versions, bool(on_record or store.records(CONCEPTS)))
    promoted, changed = _promoted(settings)
    if problems := [*unforgettable, *wrong, *unread, *silent, *changed, *unsound]:
        raise InputError(*problems)
    compared = (concept for record in adoptions.in_force for concept in record.concepts)
    recorded |= {stage["key"] for concept in compared for stage in concept["stages"]}
    needs = Needs(
        promoted=frozenset(promoted),
        registered=frozenset(registered),
        planned=frozenset((plan.stage, plan.key) for job in jobs for plan in job.stages),
        registered_elsewhere=frozenset(theirs),
        recorded=frozenset(recorded),
        keep_seconds=settings.gc_keep_days * DAY,
    )
    return KnownNeeds(
        needs=needs,
        concepts=tuple(sorted(others.keys() - set(forgotten.concepts))),
        registries=registries,
        stale=tuple(stale_paths(settings, on_record, versions)),
    )


def jobs_of_all(settings: Settings) -> list[Job]:
    """What the project would train today, of all concepts. InputError where that cannot be told of one of them."""
    try:
        found = survey(settings, concept_names(settings), by_records=True)
        if found.problems:
            raise InputError(*(problem for problems in found.problems.values() for problem in problems))
    except InputError as error:
        said = "nothing is removed before that is mended, since what it needs cannot be told"
        raise InputError(*(f"{problem}; {said}" for problem in error.problems)) from error
    return with_adoptions(settings, found.jobs)


def records_of_others(settings: Settings, store: Store) -> dict[str, dict[str, Record]]:
    """What the store has on record about concepts that this project does not have: by concept and path.

    Raises StoreFailed.
    """
    here = set(concept_names(settings))
    paths = {path: path.split("/")[1] for path in store.records(CONCEPTS)}
    records: dict[str, dict[str, Record]] = {}
    for path, record in store.read_records(path for path, name in paths.items() if name not in here).items():
        records.setdefault(paths[path], {})[path] = record
    return records


def tidy_records(store: Store, asked: KnownNeeds, forgotten: Forgotten) -> None:
    """Remove the records that are out of date or forgotten. Raises StoreFailed."""
    prefixes = [f"{CONCEPTS}{concept}/" for concept in forgotten.concepts]
    prefixes += [registry_folder(name) for name in forgotten.registries]
    for path in (*asked.stale, *(path for prefix in prefixes for path in store.records(prefix))):
        store.delete_record(path)


def _not_forgettable(settings: Settings, records: Collection[str], forgotten: Collection[str]) -> Iterator[str]:
    here, others = concept_names(settings), ", ".join(sorted(records)) or "none"
    for name in forgotten:
        if name in here:
            yield f"--forget {name}: it is a concept of this project; what its plan needs stays as long as it is there"
        elif name not in records:
            yield f"--forget {name}: the store has no record of a concept of that name; others on record: {others}"


def _not_forgettable_registries(
    settings: Settings, there: Collection[OtherRegistry], forgotten: Collection[str]
) -> Iterator[str]:
    others = ", ".join(map(str, there)) or "none"
    for name in forgotten:
        if name == registry_id(settings):
            yield f"--forget-registry {name}: it is this project's own, {address_of(settings)}; it is asked"
        elif name not in {registry.id for registry in there}:
            yield f"--forget-registry {name}: the store has no record of a registry of that name; on record: {others}"


def _registered_elsewhere(registries: Collection[OtherRegistry]) -> tuple[set[str], list[str]]:
    """Every hash that records of other registries' versions name, and what is wrong with them."""
    hashes: set[str] = set()
    problems: list[str] = []
    for registry in registries:
        for path, record in registry.records.items():
            found = _hashes(record)
            hashes |= found
            if found and (said := broken_seal(path, record.content)):
                problems.append(
                    f"record {path} of the store: {said}: what registry {registry} needs cannot be told, and nothing "
                    "was removed; `conceptbooth upgrade` mends it where it can be"
                )
            if not found:
                problems.append(
                    f"record {path} of the store names no artefact: what registry {registry} needs cannot be told, and "
                    "nothing was removed; `conceptbooth train` in its project writes it again, "
                    f"`conceptbooth gc --forget-registry {registry.id}` removes it"
                )
    return hashes, problems


def _registered(
    settings: Settings, registered: Mapping[str, Collection[KnownVersion]], has_trained: bool
) -> tuple[set[ArtefactKey], list[str]]:
    """Artefacts of all versions, and what is wrong with the registry's answer."""
    if has_trained and is_unused(settings):
        return set(), [
            f"MLflow's database {shown(settings)} is not there, though the store has trainings on record that were "
            "registered: which versions are needed cannot be told, so nothing was removed; check the setting "
            "mlflow_tracking_uri, or put the database back"
        ]
    versions = [version for listed in registered.values() for version in listed]
    silent = [version for version in versions if not version.stages]
    return {place for version in versions for place in version.stages.items()}, [
        f"concept '{version.concept}' version {version.version}: its tags conceptbooth.stage.* are gone, so what it "
        "was made by cannot be told, and nothing was removed; put them back from its run, or delete the version"
        for version in silent
    ]


def _promoted(settings: Settings) -> tuple[set[str], list[str]]:
    """Keys that ledgers name, of this store and of production, and what is wrong with the ledgers."""
    addresses = (settings.store, settings.production_store)
    places = {place.address: place for place in (open_blobs(settings, at) for at in addresses)}
    keys: set[str] = set()
    problems: list[str] = []
    for place in places.values():
        for concept in concepts_in(place):
            try:
                records = read_ledger(place, concept).records
            except InputError as error:
                problems += [f"{problem}, and nothing was removed" for problem in error.problems]
                continue
            keys |= {key for record in records for key in record.stages.values()}
            keys |= {record.content for record in records if record.content}
    return keys, problems


def _recorded(records: Mapping[str, Record], own: Collection[str]) -> tuple[set[str], list[str]]:
    """Every hash that the records name, in whatever form a version of conceptbooth writes them; and what has none.

    `own` are the paths of those about concepts that this project has.
    """
    hashes: set[str] = set()
    problems: list[str] = []
    for path, record in records.items():
        found = _hashes(record)
        hashes |= found
        if found and (said := broken_seal(path, record.content)):
            problems.append(
                f"record {path} of the store: {said}: what it needs cannot be told, and nothing was removed; "
                "`conceptbooth upgrade` mends it where it can be"
            )
        if not found:
            concept = path.split("/")[1]
            whose, way_out = ", which this project does not have,", f"gc --forget {concept}` removes it"
            if path in own:
                whose, way_out = "", f"train {concept}` writes it again"
            problems.append(
                f"record {path} of the store names no artefact: what concept '{concept}'{whose} needs cannot be told, "
                f"and nothing was removed; `conceptbooth {way_out}"
            )
    return hashes, problems


def _hashes(record: Record) -> set[str]:
    return {text.decode() for text in _HASH.findall(record.content)}
